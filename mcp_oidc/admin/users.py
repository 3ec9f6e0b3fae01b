"""For a project's own list of users: an action that ends what they allowed.

from mcp_oidc.admin.users import end_connections

class MemberAdmin(UserAdmin):
    actions = [end_connections]
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.contrib import admin
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.decisions import Decision, ModelAdmin, decide, living_connections
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.revocation import revoke_user


@admin.action(description=gettext_lazy("End all MCP connections"), permissions=["change"])
def end_connections(
    model_admin: ModelAdmin, request: HttpRequest, queryset: QuerySet[AbstractBaseUser]
) -> HttpResponse | None:
    """End every connection of the users, once the operator has confirmed it."""
    ends = living_connections().filter(user__in=queryset.order_by().values("pk"))
    return decide(model_admin, request, queryset, end_of_users(lambda user: user), ends=ends)


def end_of_users(user_of: Callable[[Any], AbstractBaseUser]) -> Decision:
    """The decision about rows, each of which has a user."""

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
    )
