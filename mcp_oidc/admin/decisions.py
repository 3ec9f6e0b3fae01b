"""Actions: the operator is told what will happen to how many users, and then it happens."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db.models import Count, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _

from mcp_oidc.admin.searching import SearchingAdmin
from mcp_oidc.admin.texts import cut
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clock import Now
from mcp_oidc.models import Connection

if TYPE_CHECKING:
    ModelAdmin = admin.ModelAdmin[Any]
else:
    ModelAdmin = admin.ModelAdmin

MAX_NAMED = 20
# Each is decided about by itself, with its own events, while the operator waits.
MAX_DECIDED = 1000


@dataclass(frozen=True)
class Decision:
    """What an action asks and does. `apply` is called once for each row, with the operator as its caller.

    `effects` tells in sentences what will happen to how many; without it, how many lose access.
    """

    question: str
    explanation: str
    apply: Callable[[Any, Caller], object]
    # For the history of each row, and for the message afterwards.
    done: str
    effects: Callable[[QuerySet[Any]], list[str]] | None = None


def living_connections() -> QuerySet[Connection]:
    """The connections that somebody could use now."""
    return Connection.objects.filter(revoked_at=None, expires_at__gt=Now())


def losses(ends: QuerySet[Connection]) -> list[str]:
    """Whom the end of these connections concerns, in sentences."""
    counts = ends.aggregate(connections=Count("client"), users=Count("user", distinct=True))
    return [
        _("Users who lose access: %(users)s") % counts,
        _("Connections that end: %(connections)s") % counts,
    ]


def bystanders(ends: QuerySet[Connection]) -> list[str]:
    """Who is connected, for decisions that end nothing."""
    counts = ends.aggregate(users=Count("user", distinct=True))
    return [_("Users who are connected now, and stay so: %(users)s") % counts]


def operator_of(request: HttpRequest) -> Caller:
    """Who decides, for the audit."""
    return replace(Caller.of(request), operator=str(request.user.pk))


class DecidingAdmin(SearchingAdmin):
    """Rows that an operator decides about."""

    def connections_of(self, queryset: QuerySet[Any]) -> QuerySet[Connection]:
        """The living connections that a decision about `queryset` ends: none, where it ends none."""
        return Connection.objects.none()

    def name_of(self, row: Any) -> str:
        """How an operator recognizes `row`."""
        return str(row)

    def decide(self, request: HttpRequest, queryset: QuerySet[Any], decision: Decision) -> HttpResponse | None:
        """The page that asks, or None once it was confirmed and done (as Django's actions return it)."""
        if decision.effects is None:
            decision = replace(decision, effects=lambda rows: losses(self.connections_of(rows)))
        return decide(self, request, queryset, decision, name_of=self.name_of)


def decide(
    model_admin: ModelAdmin,
    request: HttpRequest,
    queryset: QuerySet[Any],
    decision: Decision,
    *,
    name_of: Callable[[Any], str] = str,
) -> HttpResponse | None:
    """The same on the page of any model, such as a project's own users."""
    keys = list(queryset.values_list("pk", flat=True)[: MAX_DECIDED + 1])
    if len(keys) > MAX_DECIDED:
        text = _("More than %(count)s are selected, which takes too long for a page. Filter, and select fewer.")
        model_admin.message_user(request, text % {"count": MAX_DECIDED}, messages.ERROR)
        return None
    queryset = queryset.filter(pk__in=keys)
    if "confirmed" not in request.POST:
        return TemplateResponse(
            request,
            "mcp_oidc/admin/decide.html",
            {
                **model_admin.admin_site.each_context(request),
                "title": decision.question,
                "opts": model_admin.opts,
                "decision": decision,
                "effects": decision.effects(queryset) if decision.effects else [],
                "names": [cut(name_of(row), 100) for row in queryset[:MAX_NAMED]],
                "count": len(keys),
                "more": max(0, len(keys) - MAX_NAMED),
                **_repetition(request),
            },
        )
    rows = list(queryset)
    for row in rows:
        decision.apply(row, operator_of(request))
        model_admin.log_change(request, row, decision.done)
    model_admin.message_user(request, f"{decision.done} ({len(rows)})", messages.SUCCESS)
    return None


def _repetition(request: HttpRequest) -> dict[str, Any]:
    # What was posted is posted again. Not the rows themselves: with "select all" there may be too many.
    return {
        "action": request.POST.get("action", ""),
        "selected": request.POST.getlist(ACTION_CHECKBOX_NAME),
        "select_across": request.POST.get("select_across", "0"),
        "checkbox_name": ACTION_CHECKBOX_NAME,
    }
