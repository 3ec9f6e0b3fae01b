"""The dashboard: who is connected, what happened lately, whether anything is wrong. It only shows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.decorators import method_decorator
from django.utils.formats import date_format
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_safe

from mcp_oidc.admin.charts import HEIGHT, WIDTH, Chart, bar_chart
from mcp_oidc.admin.conditions import (
    attention,
    cleanup_condition,
    configuration_condition,
    key_condition,
    provider_condition,
)
from mcp_oidc.admin.labels import kind_label, reason_label
from mcp_oidc.admin.records import RecordAdmin
from mcp_oidc.admin.texts import cut, grouped
from mcp_oidc.core.cleanup import last_cleanup
from mcp_oidc.core.clients import clients
from mcp_oidc.core.key_overview import read_keys
from mcp_oidc.core.overview import BusyClient, Overview, read_overview, recent_refusals
from mcp_oidc.core.traffic import Period, Topic, read_traffic
from mcp_oidc.models import Connection, Dashboard, Event, Identity

TOPIC_NAMES: dict[Topic, Promise | str] = {
    Topic.LOGINS: gettext_lazy("Logins"),
    Topic.REFRESHES: gettext_lazy("Refreshes"),
    Topic.REFUSALS: gettext_lazy("Refusals"),
    Topic.REFUSED_CALLS: gettext_lazy("Refused calls"),
    Topic.REVOCATIONS: gettext_lazy("Revocations"),
}
_EVENT_NAMES: dict[str, Promise | str] = {
    "login": gettext_lazy("Login refused"),
    "client.registered": gettext_lazy("Registration refused"),
    "connection.replayed": gettext_lazy("Code or token used again"),
    "login.linked": gettext_lazy("Account not linked"),
}


@dataclass(frozen=True)
class NamedChart:
    """A chart of one topic."""

    slug: str
    name: str
    drawing: Chart

    @property
    def total(self) -> str:
        return grouped(self.drawing.total)

    @property
    def scale(self) -> str:
        return grouped(self.drawing.scale)

    @property
    def highest(self) -> str:
        return grouped(self.drawing.highest.value)


@dataclass(frozen=True)
class Figure:
    """The charts of one span of time, and the table of the same numbers: for each period its label and counts."""

    slug: str
    name: str
    # What the last bar is.
    open_text: str
    column: str
    charts: tuple[NamedChart, ...]
    rows: tuple[tuple[str, tuple[str, ...]], ...]


@admin.register(Dashboard)
class DashboardAdmin(RecordAdmin):
    """One page in the place of a list. The permission `view_dashboard` opens it; names of clients and events are shown
    to those who may view clients and events.
    """

    def get_urls(self) -> list[URLPattern]:
        # No row, so no other page.
        name = f"{self.opts.app_label}_{self.opts.model_name}_changelist"
        return [path("", self.admin_site.admin_view(self.changelist_view), name=name)]

    @method_decorator(require_safe)
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        overview = read_overview()
        context = {
            **self.admin_site.each_context(request),
            "title": _("Dashboard"),
            "opts": self.opts,
            **self._conditions(),
            **self._numbers(request, overview),
            "figures": _figures(),
            "topics": TOPIC_NAMES.values(),
            "chart_width": WIDTH,
            "chart_height": HEIGHT,
            "busiest": self._busiest(request, overview.busiest),
            "refusals": self._refusals(request),
            **(extra_context or {}),
        }
        return TemplateResponse(request, "mcp_oidc/admin/dashboard.html", context)

    def _conditions(self) -> dict[str, Any]:
        conditions = (
            provider_condition(),
            key_condition(read_keys()),
            cleanup_condition(last_cleanup()),
            configuration_condition(),
        )
        return {"conditions": conditions, "attention": attention(conditions)}

    def _numbers(self, request: HttpRequest, overview: Overview) -> dict[str, Any]:
        living, recent = overview.living, overview.recent
        numbers: list[tuple[str, type[Any], int, int]] = [
            (_("Users"), Identity, living.users, recent.users),
            (_("Clients"), clients().model, living.clients, recent.clients),
            (_("Connections"), Connection, living.connections, recent.connections),
        ]
        rows = [
            (name, self._list_url(request, model), grouped(total), grouped(used))
            for name, model, total, used in numbers
        ]
        return {"numbers": rows, "as_of": overview.as_of}

    def _busiest(self, request: HttpRequest, busiest: Sequence[BusyClient]) -> list[dict[str, Any]] | None:
        """The rows of that table; None for who may not view clients."""
        model = clients().model
        if not self._may_view(request, model):
            return None
        return [
            {
                "name": cut(client.name, 60) or cut(client.client_id, 60),
                "url": self._page_url(model, client.pk),
                "users": grouped(client.users),
                "connections": grouped(client.connections),
                "last_used_at": client.last_used_at,
            }
            for client in busiest
        ]

    def _refusals(self, request: HttpRequest) -> list[dict[str, Any]] | None:
        """The rows of that table; None for who may not view events."""
        if not self._may_view(request, Event):
            return None
        return [
            {
                "time": event.created_at,
                "url": self._page_url(Event, event.pk),
                "name": _EVENT_NAMES.get(event.kind) or kind_label(event.kind),
                "reason": reason_label(event.reason),
                "user": cut(str(event.user), 60) if event.user else "",
                "client": cut(event.client.name if event.client else event.client_name, 60),
                "address": event.address,
            }
            for event in recent_refusals()
        ]

    def _may_view(self, request: HttpRequest, model: type[Any]) -> bool:
        # A project's own site may leave a model out, and its own ModelAdmin may be stricter.
        if not self.admin_site.is_registered(model):
            return False
        return self.admin_site.get_model_admin(model).has_view_permission(request)

    def _list_url(self, request: HttpRequest, model: type[Any]) -> str:
        """Where the rows are listed, empty for who may not view them."""
        return self._url(model, "changelist") if self._may_view(request, model) else ""

    def _page_url(self, model: type[Any], pk: object) -> str:
        return self._url(model, "change", pk)

    def _url(self, model: type[Any], page: str, *args: object) -> str:
        name = f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}"
        return reverse(name, args=args, current_app=self.admin_site.name)


def _figures() -> tuple[Figure, ...]:
    traffic = read_traffic()
    return (
        Figure(
            slug="hours",
            name=_("Last 24 hours"),
            open_text=_("The last bar, a hollow one, is the hour that is still running."),
            column=_("Hour that begins"),
            charts=_charts("hours", traffic.hours, "TIME_FORMAT"),
            rows=_rows(traffic.hours, "SHORT_DATETIME_FORMAT"),
        ),
        Figure(
            slug="days",
            name=_("Last 30 days"),
            open_text=_("The last bar, a hollow one, is today."),
            column=_("Day"),
            charts=_charts("days", traffic.days, "MONTH_DAY_FORMAT"),
            rows=_rows(traffic.days, "SHORT_DATE_FORMAT"),
        ),
    )


def _charts(slug: str, periods: Sequence[Period], form: str) -> tuple[NamedChart, ...]:
    labels = [date_format(period.start, form) for period in periods]
    counts = {topic: [period.counts[topic] for period in periods] for topic in Topic}
    return tuple(
        NamedChart(f"{slug}-{topic}", str(name), bar_chart(list(zip(labels, counts[topic], strict=True))))
        for topic, name in TOPIC_NAMES.items()
    )


def _rows(periods: Sequence[Period], form: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    # The newest first, as everywhere in the admin.
    return tuple(
        (date_format(period.start, form), tuple(grouped(period.counts[topic]) for topic in TOPIC_NAMES))
        for period in reversed(periods)
    )
