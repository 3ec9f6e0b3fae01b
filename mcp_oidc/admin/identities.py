"""Identities at the IdP, and the IdP's token sets: that they are there, and never what is in them."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.admin.utils import display_for_value
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.access import ask_idp_again, end_of_idp_tokens, end_of_logins, end_of_users
from mcp_oidc.admin.decisions import DecidingAdmin
from mcp_oidc.admin.filters import OfUser
from mcp_oidc.admin.panels import Panel, Panels
from mcp_oidc.admin.searching import SearchingAdmin
from mcp_oidc.admin.texts import cut, lines, pretty_json
from mcp_oidc.models import Identity, IdpTokenSet


@admin.register(Identity)
class IdentityAdmin(DecidingAdmin):
    """One row for each user of each IdP."""

    actions = ("end_connections", "end_logins", "forget_tokens", "ask_again")
    list_display = ("sub_text", "user_text", "provider", "issuer_text", "created_at", "last_login_at")
    list_filter = (OfUser, "last_login_at")
    list_select_related = ("user",)
    ordering = ("-pk",)
    sortable_by = ("last_login_at",)
    search_texts = ("sub",)
    search_users = "user"
    search_ids = ("subject",)
    search_help_text = gettext_lazy(
        "A part of the user's name or e-mail address, or of the sub at the issuer; or the whole sub of a token."
    )
    fields = (
        "user_link",
        "provider",
        "issuer_whole",
        "sub_whole",
        "subject",
        "token_set_text",
        "claims_text",
        "custom_data_text",
        "created_at",
        "last_login_at",
    )
    readonly_fields = fields

    def panels_of(self, request: HttpRequest, row: Identity) -> list[Panel]:
        own = Panels(request, self.admin_site, "identity", row.pk)
        own.add_connections()
        own.add_sessions()
        users = Panels(request, self.admin_site, "user", row.user_id)
        users.add_others(row)
        users.add_consents()
        users.add_events()
        return [*own.panels, *users.panels]

    def name_of(self, row: Identity) -> str:
        return f"{row.user} / {cut(str(row))}"

    @admin.action(description=gettext_lazy("End all connections"), permissions=["revoke"])
    def end_connections(self, request: HttpRequest, queryset: QuerySet[Identity]) -> HttpResponse | None:
        """End every connection of the users behind the identities."""
        decision = end_of_users(lambda row: row.user, lambda rows: rows.order_by().values("user"))
        return self.decide(request, queryset.select_related("user"), decision)

    @admin.action(description=gettext_lazy("End login sessions"), permissions=["revoke"])
    def end_logins(self, request: HttpRequest, queryset: QuerySet[Identity]) -> HttpResponse | None:
        """Log the browsers out that logged in with the identities."""
        return self.decide(request, queryset, end_of_logins(_themselves))

    @admin.action(description=gettext_lazy("Forget IdP tokens"), permissions=["revoke"])
    def forget_tokens(self, request: HttpRequest, queryset: QuerySet[Identity]) -> HttpResponse | None:
        """Drop what is kept of the identity provider's tokens."""
        return self.decide(request, queryset, end_of_idp_tokens(_themselves))

    @admin.action(description=gettext_lazy("Ask the IdP about access"), permissions=["revoke"])
    def ask_again(self, request: HttpRequest, queryset: QuerySet[Identity]) -> HttpResponse | None:
        """Ask the identity provider whether the users still have access."""
        return ask_idp_again(self, request, queryset, _themselves)

    @admin.display(description=gettext_lazy("sub at the issuer"))
    def sub_text(self, row: Identity) -> str:
        return cut(row.sub)

    @admin.display(description=gettext_lazy("sub at the issuer"))
    def sub_whole(self, row: Identity) -> str:
        return cut(row.sub, 500)

    @admin.display(description=gettext_lazy("issuer"))
    def issuer_text(self, row: Identity) -> str:
        return cut(row.issuer)

    @admin.display(description=gettext_lazy("issuer"))
    def issuer_whole(self, row: Identity) -> str:
        return cut(row.issuer, 500)

    @admin.display(description=gettext_lazy("IdP tokens"))
    def token_set_text(self, row: Identity) -> str:
        token_set = IdpTokenSet.objects.filter(identity=row).first()
        if token_set is None:
            return _("none are kept")
        kept = _("kept, with a refresh token") if token_set.has_refresh_token else _("kept, without a refresh token")
        return _("%(kept)s, of %(time)s") % {"kept": kept, "time": display_for_value(token_set.obtained_at, "-")}

    @admin.display(description=gettext_lazy("claims"))
    def claims_text(self, row: Identity) -> SafeString:
        return pretty_json(row.claims)

    @admin.display(description=gettext_lazy("custom data"))
    def custom_data_text(self, row: Identity) -> SafeString:
        return pretty_json(row.custom_data)


@admin.register(IdpTokenSet)
class IdpTokenSetAdmin(SearchingAdmin):
    """One row for each identity whose IdP tokens are kept. The encrypted payload is not shown either."""

    list_display = ("identity_text", "user_text", "has_refresh_token", "obtained_at", "expires_at", "version")
    list_filter = ("has_refresh_token", "expires_at")
    list_select_related = ("identity__user",)
    ordering = ("-pk",)
    sortable_by = ()
    search_users = "identity__user"
    search_identities = "identity"
    search_help_text = gettext_lazy("A part of the user's name or e-mail address, or the whole sub at the issuer.")
    fields = ("identity_link", "user_link", "scope_list", "has_refresh_token", "obtained_at", "expires_at", "version")
    readonly_fields = fields

    @admin.display(description=gettext_lazy("identity"))
    def identity_text(self, row: IdpTokenSet) -> str:
        return cut(str(row.identity), 100)

    @admin.display(description=gettext_lazy("user"))
    def user_text(self, row: IdpTokenSet) -> str:
        return cut(str(row.identity.user))

    @admin.display(description=gettext_lazy("user"))
    def user_link(self, row: IdpTokenSet) -> str:
        return self.link_to(row.identity.user)

    @admin.display(description=gettext_lazy("scopes"))
    def scope_list(self, row: IdpTokenSet) -> str:
        return lines(row.scopes)


def _themselves(rows: QuerySet[Identity]) -> Q:
    return Q(pk__in=rows.order_by().values("pk"))
