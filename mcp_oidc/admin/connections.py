"""Connections: each holds one user's access and refresh tokens of one client."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.decisions import DecidingAdmin, Decision, living_connections
from mcp_oidc.admin.filters import OfClient, OfIdentity, OfUser
from mcp_oidc.admin.labels import reason_label
from mcp_oidc.admin.panels import Panel, Panels
from mcp_oidc.admin.texts import cut, lines
from mcp_oidc.core.clock import Now
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.models import Connection


class StateFilter(admin.SimpleListFilter):
    """Whether a connection can still be used."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("living", _("living")), ("revoked", _("revoked")), ("ended", _("revoked or expired"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Connection]) -> QuerySet[Connection]:
        if self.value() == "living":
            return queryset.filter(revoked_at=None, expires_at__gt=Now())
        if self.value() == "revoked":
            return queryset.exclude(revoked_at=None)
        if self.value() == "ended":
            return queryset.exclude(revoked_at=None, expires_at__gt=Now())
        return queryset


@admin.register(Connection)
class ConnectionAdmin(DecidingAdmin):
    """One row for each device that a user connected."""

    list_title = gettext_lazy("Connections: the access and refresh tokens of each user and client")
    actions = ("revoke",)
    list_display = ("user_text", "client_text", "device", "state", "created_at", "last_used_at", "expires_at")
    list_filter = (OfUser, OfClient, OfIdentity, StateFilter, "last_used_at", "created_at")
    list_select_related = ("user", "client")
    # An index has it; the ones used last come first, because each use puts the end off.
    ordering = ("-expires_at",)
    sortable_by = ("expires_at",)
    search_users = "user"
    search_clients = "client"
    search_identities = "identity"
    search_ids = ("pk",)
    search_help_text = gettext_lazy(
        "A part of the user's name or e-mail address, or of the client's name, id or host; or the whole sub of a token "
        "or id of a connection."
    )
    fields = (
        "id",
        "user_link",
        "client_link",
        "identity_link",
        "subject",
        "device",
        "state",
        "resource_text",
        "scope_list",
        "redirect_uri_text",
        "generation",
        "authenticated_at",
        "created_at",
        "last_used_at",
        "rotated_at",
        "expires_at",
        "revoked_at",
        "reason_text",
    )
    readonly_fields = fields

    def connections_of(self, queryset: QuerySet[Connection]) -> QuerySet[Connection]:
        return living_connections().filter(pk__in=queryset.values("pk"))

    def name_of(self, row: Connection) -> str:
        return f"{row.user} / {row.client} ({self.state(row)})"

    def row_actions(self, request: HttpRequest, row: Connection) -> list[tuple[str, str]]:
        return [] if row.revoked_at else super().row_actions(request, row)

    @admin.action(description=gettext_lazy("Revoke"), permissions=["revoke"])
    def revoke(self, request: HttpRequest, queryset: QuerySet[Connection]) -> HttpResponse | None:
        """End connections."""
        decision = Decision(
            question=_("Revoke these connections?"),
            explanation=_("Their tokens are refused from the next request on. The users can connect again."),
            apply=lambda row, caller: revoke_connection(row.pk, "revoked_by_admin", caller=caller),
            done=_("Revoked."),
        )
        return self.decide(request, queryset, decision)

    def panels_of(self, request: HttpRequest, row: Connection) -> list[Panel]:
        panels = Panels(request, self.admin_site, "connection_id", row.pk)
        panels.add_events()
        return panels.panels

    @admin.display(description=gettext_lazy("device"))
    def device(self, row: Connection) -> str:
        return cut(row.device_name)

    @admin.display(description=gettext_lazy("reason"))
    def reason_text(self, row: Connection) -> str:
        return reason_label(row.revoked_reason)

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: Connection) -> str:
        if row.revoked_at is not None:
            return _("revoked (%(reason)s)") % {"reason": reason_label(row.revoked_reason)}
        if row.expires_at <= timezone.now():
            return _("expired")
        return _("living") if row.generation else _("approved, no token issued yet")

    @admin.display(description=gettext_lazy("scopes"))
    def scope_list(self, row: Connection) -> str:
        return lines(row.scopes)

    @admin.display(description=gettext_lazy("resource"))
    def resource_text(self, row: Connection) -> str:
        return cut(row.resource, 500)

    @admin.display(description=gettext_lazy("redirect URI"))
    def redirect_uri_text(self, row: Connection) -> str:
        return cut(row.redirect_uri, 500)
