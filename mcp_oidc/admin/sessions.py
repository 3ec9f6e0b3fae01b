"""Login sessions: logins at the IdP that browsers still have."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.decisions import DecidingAdmin, Decision
from mcp_oidc.admin.filters import OfIdentity, OfIdentitysUser
from mcp_oidc.admin.texts import cut
from mcp_oidc.core.clock import Now
from mcp_oidc.core.sessions import end_session
from mcp_oidc.models import LoginSession


class LivingFilter(admin.SimpleListFilter):
    """Whether a browser is still logged in."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("living", _("living")), ("over", _("over"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[LoginSession]) -> QuerySet[LoginSession]:
        if self.value() == "living":
            return queryset.filter(_LIVING)
        return queryset.exclude(_LIVING) if self.value() == "over" else queryset


@admin.register(LoginSession)
class LoginSessionAdmin(DecidingAdmin):
    """One row for each browser. The key of its Django session is encrypted, and not shown either."""

    actions = ("end",)
    list_display = ("user_text", "identity_text", "authenticated_at", "last_seen_at", "expires_at")
    list_filter = (OfIdentitysUser, OfIdentity, LivingFilter, "authenticated_at")
    list_select_related = ("identity__user",)
    ordering = ("-pk",)
    sortable_by = ()
    search_users = "identity__user"
    search_identities = "identity"
    search_help_text = gettext_lazy("A part of the user's name or e-mail address, or the whole sub at the issuer.")
    fields = ("user_link", "identity_link", "authenticated_at", "created_at", "last_seen_at", "expires_at", "ended_at")
    readonly_fields = fields

    def name_of(self, row: LoginSession) -> str:
        return f"{row.identity.user} / {row.authenticated_at:%Y-%m-%d %H:%M}"

    def row_actions(self, request: HttpRequest, row: LoginSession) -> list[tuple[str, str]]:
        return [] if row.ended_at else super().row_actions(request, row)

    @admin.action(description=gettext_lazy("End"), permissions=["revoke"])
    def end(self, request: HttpRequest, queryset: QuerySet[LoginSession]) -> HttpResponse | None:
        """Log the browsers out."""
        decision = Decision(
            question=_("End these login sessions?"),
            explanation=_("The browsers are logged out here, also from your own pages. Apps stay connected."),
            apply=lambda row, caller: end_session(row.pk, "ended_by_admin", caller=caller),
            done=_("Login sessions ended."),
            effects=lambda rows: [
                _("Users who are logged out: %(count)s")
                % {"count": rows.filter(_LIVING).order_by().values("identity__user").distinct().count()}
            ],
        )
        return self.decide(request, queryset, decision)

    @admin.display(description=gettext_lazy("user"))
    def user_text(self, row: LoginSession) -> str:
        return cut(str(row.identity.user))

    @admin.display(description=gettext_lazy("user"))
    def user_link(self, row: LoginSession) -> str:
        return self.link_to(row.identity.user)

    @admin.display(description=gettext_lazy("identity"))
    def identity_text(self, row: LoginSession) -> str:
        return cut(str(row.identity), 60)


_LIVING = Q(ended_at=None, expires_at__gt=Now())
