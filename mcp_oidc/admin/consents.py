"""Consents: what users approved, and need not be asked again."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.decisions import DecidingAdmin, Decision, living_connections
from mcp_oidc.admin.records import user_search_fields
from mcp_oidc.admin.texts import cut, lines
from mcp_oidc.core.revocation import revoke_consent
from mcp_oidc.models import Connection, Consent


@admin.register(Consent)
class ConsentAdmin(DecidingAdmin):
    """One row for each user, client, redirect URI and resource."""

    actions = ("withdraw",)
    list_display = ("user", "client_name", "resource_text", "scope_text", "approved_at")
    list_filter = ("approved_at",)
    list_select_related = ("user", "client")
    ordering = ("-pk",)
    fields = ("user", "client", "redirect_uri_text", "resource_text", "scope_list", "approved_at")
    readonly_fields = fields

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return (*user_search_fields(), "client__name", "client__client_id")

    def connections_of(self, queryset: QuerySet[Consent]) -> QuerySet[Connection]:
        same = queryset.order_by().filter(user=OuterRef("user"), client=OuterRef("client"))
        return living_connections().filter(Exists(same))

    def name_of(self, row: Consent) -> str:
        return f"{row.user} / {cut(str(row.client))}"

    @admin.action(description=gettext_lazy("Delete"), permissions=["remove"])
    def withdraw(self, request: HttpRequest, queryset: QuerySet[Consent]) -> HttpResponse | None:
        """Delete consents, and with them what they allowed."""
        decision = Decision(
            question=_("Delete these consents?"),
            explanation=_("Every connection of the user with the client ends, and the user is asked again."),
            apply=lambda row, caller: revoke_consent(row, caller=caller),
            done=_("Consent deleted."),
        )
        return self.decide(request, queryset, decision)

    @admin.display(description=gettext_lazy("client"), ordering="client__name")
    def client_name(self, row: Consent) -> str:
        return cut(str(row.client))

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
