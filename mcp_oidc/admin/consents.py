"""Consents: what users approved, and need not be asked again."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.decisions import DecidingAdmin, Decision, living_connections
from mcp_oidc.admin.filters import OfClient, OfUser
from mcp_oidc.admin.texts import cut, lines
from mcp_oidc.core.revocation import revoke_consent
from mcp_oidc.models import Connection, Consent


@admin.register(Consent)
class ConsentAdmin(DecidingAdmin):
    """One row for each user, client, redirect URI and resource."""

    actions = ("withdraw",)
    list_display = ("user_text", "client_text", "resource_text", "scope_text", "approved_at")
    list_filter = (OfUser, OfClient, "approved_at")
    list_select_related = ("user", "client")
    ordering = ("-pk",)
    sortable_by = ()
    search_users = "user"
    search_clients = "client"
    search_help_text = gettext_lazy("A part of the user's name or e-mail address, or of the client's name, id or host.")
    fields = ("user_link", "client_link", "redirect_uri_text", "resource_text", "scope_list", "approved_at")
    readonly_fields = fields

    def has_withdraw_permission(self, request: HttpRequest) -> bool:
        """A consent that goes is access that ends: the permission to delete, or to revoke."""
        return self.has_remove_permission(request) or self._is_granted(request, "revoke")

    def connections_of(self, queryset: QuerySet[Consent]) -> QuerySet[Connection]:
        same = queryset.order_by().filter(user=OuterRef("user"), client=OuterRef("client"))
        return living_connections().filter(Exists(same))

    def name_of(self, row: Consent) -> str:
        return f"{row.user} / {row.client}"

    @admin.action(description=gettext_lazy("Delete"), permissions=["withdraw"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Consent]) -> HttpResponse | None:
        """Delete consents, and with them what they allowed."""
        decision = Decision(
            question=_("Delete these consents?"),
            explanation=_("Every connection of the user with the client ends, and the user is asked again."),
            apply=lambda row, caller: revoke_consent(row, caller=caller),
            done=_("Consent deleted."),
        )
        return self.decide(request, queryset, decision)

    @admin.display(description=gettext_lazy("resource"))
    def resource_text(self, row: Consent) -> str:
        return cut(row.resource)

    @admin.display(description=gettext_lazy("redirect URI"))
    def redirect_uri_text(self, row: Consent) -> str:
        return cut(row.redirect_uri, 500)

    @admin.display(description=gettext_lazy("scopes"))
    def scope_text(self, row: Consent) -> str:
        return cut(row.scopes)

    @admin.display(description=gettext_lazy("scopes"))
    def scope_list(self, row: Consent) -> str:
        return lines(row.scopes)
