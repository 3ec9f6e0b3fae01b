"""Decisions about people: what they have here and at the identity provider ends, or is looked into.

Each is about rows of some model, and `which` says whose identities a row stands for: its own, or all of a user.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from django.contrib import messages
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _

from mcp_oidc.admin.decisions import Decision, ModelAdmin, decide, living_connections, losses, operator_of
from mcp_oidc.core.abandoned_tokens import forget_idp_tokens
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clock import Now
from mcp_oidc.core.revocation import revoke_user
from mcp_oidc.core.sessions import end_sessions
from mcp_oidc.models import Identity, IdpTokenSet, LoginSession
from mcp_oidc.upstream.revalidation import Answer, ask_again

Which = Callable[[QuerySet[Any]], Q]


def end_of_users(user_of: Callable[[Any], AbstractBaseUser], users: Callable[[QuerySet[Any]], Any]) -> Decision:
    """Every connection of the users ends. `users` gives the keys of those behind some rows."""

    def apply(row: Any, caller: Caller) -> int:
        return revoke_user(user_of(row), "revoked_by_admin", caller=caller)

    return Decision(
        question=_("End all connections of these users?"),
        explanation=_(
            "Tokens of every client are refused from the next request on. The users can connect again, and are asked "
            "to approve each client anew."
        ),
        apply=apply,
        done=_("All connections ended."),
        effects=lambda rows: losses(living_connections().filter(user__in=users(rows))),
    )


def end_of_logins(identities_of: Which) -> Decision:
    """Browsers are logged out; connections stay."""

    def effects(rows: QuerySet[Any]) -> list[str]:
        living = LoginSession.objects.filter(ended_at=None, expires_at__gt=Now())
        count = living.filter(identity__in=Identity.objects.filter(identities_of(rows))).count()
        return [_("Sessions that end: %(count)s") % {"count": count}]

    return Decision(
        question=_("End the login sessions of these users?"),
        explanation=_(
            "Their browsers are logged out here, also from your own pages; what was logged in with a password of this "
            "site stays. Apps stay connected: to end those as well, end all connections."
        ),
        apply=lambda row, caller: end_sessions(
            Q(identity__in=Identity.objects.filter(_identity(identities_of, row))), "ended_by_admin", caller=caller
        ),
        done=_("Login sessions ended."),
        effects=effects,
    )


def end_of_idp_tokens(identities_of: Which) -> Decision:
    """The identity provider's tokens are dropped, and its refresh token is revoked there."""

    def effects(rows: QuerySet[Any]) -> list[str]:
        count = IdpTokenSet.objects.filter(identity__in=Identity.objects.filter(identities_of(rows))).count()
        return [_("Token sets that are dropped: %(count)s") % {"count": count}]

    return Decision(
        question=_("Forget the identity provider's tokens of these users?"),
        explanation=_(
            "Tools can no longer call the identity provider as these users, and whether they still have access cannot "
            "be asked: they have to log in again for that. The refresh tokens are revoked at the identity provider."
        ),
        apply=lambda row, caller: forget_idp_tokens(_identity(identities_of, row), caller=caller),
        done=_("The identity provider's tokens were forgotten."),
        effects=effects,
    )


def ask_idp_again(
    model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[Any], identities_of: Which
) -> HttpResponse | None:
    """Have the identity provider asked about the users, and tell what it says."""

    def effects(rows: QuerySet[Any]) -> list[str]:
        askable = Identity.objects.filter(identities_of(rows), token_set__has_refresh_token=True)
        return [_("Users who can be asked about: %(count)s") % {"count": askable.count()}]

    chosen: list[Any] = []
    decision = Decision(
        question=_("Ask the identity provider whether these users still have access?"),
        explanation=_(
            "Who has lost access there loses their connections here. Nothing ends while the identity provider does "
            "not answer."
        ),
        # All at once, below: one by one, a provider that does not answer would hold up the page for each.
        apply=lambda row, caller: chosen.append(row.pk),
        done=_("The identity provider was asked."),
        effects=effects,
    )
    page = decide(model_admin, request, queryset, decision)
    if page is None and chosen:
        identities = Identity.objects.filter(identities_of(_rows_of(queryset, chosen))).select_related("user")
        _tell(model_admin, request, ask_again(list(identities), caller=operator_of(request)))
    return page


def _tell(model_admin: ModelAdmin, request: HttpRequest, answers: Counter[Answer]) -> None:
    texts = {
        Answer.HAS_ACCESS: (messages.SUCCESS, _("Still have access: %(count)s")),
        Answer.HAS_NO_ACCESS: (messages.WARNING, _("Have lost access, and their connections: %(count)s")),
        Answer.NONE: (messages.ERROR, _("No answer: %(count)s. What comes later counts as well.")),
        Answer.CANNOT_BE_ASKED: (messages.WARNING, _("Cannot be asked about without a refresh token: %(count)s")),
    }
    for answer, (level, text) in texts.items():
        if answers[answer]:
            model_admin.message_user(request, text % {"count": answers[answer]}, level)


def _identity(identities_of: Which, row: Any) -> Q:
    return identities_of(_rows_of(type(row)._default_manager.all(), [row.pk]))


def _rows_of(queryset: QuerySet[Any], keys: list[Any]) -> QuerySet[Any]:
    return queryset.filter(pk__in=keys)
