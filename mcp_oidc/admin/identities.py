"""Identities at the IdP, and the IdP's token sets: that they are there, and never what is in them."""

from __future__ import annotations

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.decisions import DecidingAdmin, living_connections
from mcp_oidc.admin.records import RecordAdmin, user_search_fields
from mcp_oidc.admin.texts import cut, lines, pretty_json
from mcp_oidc.admin.users import end_of_users
from mcp_oidc.models import Connection, Identity, IdpTokenSet


@admin.register(Identity)
class IdentityAdmin(DecidingAdmin):
    """One row for each user of each IdP."""

    actions = ("end_connections",)
    list_display = ("sub_text", "user", "provider", "issuer_text", "created_at", "last_login_at")
    list_filter = ("last_login_at",)
    list_select_related = ("user",)
    ordering = ("-pk",)
    fields = (
        "user",
        "provider",
        "issuer",
        "sub",
        "subject",
        "claims_text",
        "custom_data_text",
        "created_at",
        "last_login_at",
    )
    readonly_fields = fields

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return (*user_search_fields(), "sub", "subject__exact")

    def connections_of(self, queryset: QuerySet[Identity]) -> QuerySet[Connection]:
        return living_connections().filter(user__in=queryset.order_by().values("user"))

    def name_of(self, row: Identity) -> str:
        return f"{row.user} / {cut(str(row))}"

    @admin.action(description=gettext_lazy("End all connections"), permissions=["revoke"])
    def end_connections(self, request: HttpRequest, queryset: QuerySet[Identity]) -> HttpResponse | None:
        """End every connection of the users behind the identities."""
        return self.decide(request, queryset.select_related("user"), end_of_users(lambda row: row.user))

    @admin.display(description=gettext_lazy("sub at the issuer"), ordering="sub")
    def sub_text(self, row: Identity) -> str:
        return cut(row.sub)

    @admin.display(description=gettext_lazy("issuer"), ordering="issuer")
    def issuer_text(self, row: Identity) -> str:
        return cut(row.issuer)

    @admin.display(description=gettext_lazy("claims"))
    def claims_text(self, row: Identity) -> SafeString:
        return pretty_json(row.claims)

    @admin.display(description=gettext_lazy("custom data"))
    def custom_data_text(self, row: Identity) -> SafeString:
        return pretty_json(row.custom_data)


@admin.register(IdpTokenSet)
class IdpTokenSetAdmin(RecordAdmin):
    """One row for each identity whose IdP tokens are kept. The encrypted payload is not shown either."""

    list_display = ("identity_text", "user", "has_refresh_token", "obtained_at", "expires_at", "version")
    list_filter = ("has_refresh_token", "expires_at")
    list_select_related = ("identity__user",)
    ordering = ("-pk",)
    fields = ("identity", "user", "scope_list", "has_refresh_token", "obtained_at", "expires_at", "version")
    readonly_fields = fields

    def get_search_fields(self, request: HttpRequest) -> tuple[str, ...]:
        return (*user_search_fields("identity__user"), "identity__sub")

    @admin.display(description=gettext_lazy("identity"))
    def identity_text(self, row: IdpTokenSet) -> str:
        return cut(str(row.identity), 100)

    @admin.display(description=gettext_lazy("user"))
    def user(self, row: IdpTokenSet) -> str:
        return str(row.identity.user)

    @admin.display(description=gettext_lazy("scopes"))
    def scope_list(self, row: IdpTokenSet) -> str:
        return lines(row.scopes)
