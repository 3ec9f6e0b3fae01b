"""The audit, to read."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.admin.options import IncorrectLookupParameters
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django.views.decorators.http import require_GET

from mcp_oidc.admin.event_export import export_events
from mcp_oidc.admin.filters import OfClient, OfConnection, OfUser
from mcp_oidc.admin.labels import kind_label, outcome_label, reason_label
from mcp_oidc.admin.searching import SearchingAdmin
from mcp_oidc.admin.texts import cut, pretty_json
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.models import Event


class TopicFilter(admin.SimpleListFilter):
    """What the events are about: the first word of their kind."""

    title = gettext_lazy("topic")
    parameter_name = "topic"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("login", _("logins")),
            ("logout", _("logouts")),
            ("user", _("users")),
            ("client", _("clients")),
            ("consent", _("consents")),
            ("connection", _("connections")),
            ("host", _("hosts of clients")),
            ("key", _("signing keys")),
            ("identity", _("questions to the identity provider")),
            ("idp_tokens", _("tokens of the identity provider")),
            ("cleanup", _("cleanups")),
            ("emergency", _("emergencies")),
        ]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        topic = self.value()
        # Each kind by its name: no index of PostgreSQL finds beginnings.
        kinds = [kind for kind in Kind if kind.partition(".")[0] == topic]
        return queryset.filter(kind__in=kinds) if kinds else queryset


class KindFilter(admin.SimpleListFilter):
    """One kind of event."""

    # A list in code: reading the kinds from a big table would be slow.
    title = gettext_lazy("kind")
    parameter_name = "kind"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(kind.value, kind_label(kind)) for kind in sorted(Kind)]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(kind=self.value()) if self.value() else queryset


class OutcomeFilter(admin.SimpleListFilter):
    """How it ended."""

    title = gettext_lazy("outcome")
    parameter_name = "outcome"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(outcome.value, outcome_label(outcome)) for outcome in Outcome]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Event]) -> QuerySet[Event]:
        return queryset.filter(outcome=self.value()) if self.value() else queryset


@admin.register(Event)
class EventAdmin(SearchingAdmin):
    """One row for each decision."""

    list_display = ("created_at", "kind_text", "outcome_text", "reason_text", "user_text", "client_text", "address")
    list_filter = (OfUser, OfClient, OfConnection, TopicFilter, KindFilter, OutcomeFilter, "created_at")
    change_list_template = "mcp_oidc/admin/event_list.html"
    list_select_related = ("user", "client")
    ordering = ("-created_at",)
    sortable_by = ("created_at",)
    search_users = "user"
    search_clients = "client"
    search_ids = ("connection_id",)
    search_addresses = ("address",)
    search_help_text = gettext_lazy(
        "A part of the user's name or e-mail address, or of the client's name, id or host; or the whole address or id "
        "of a connection."
    )
    fields = (
        "created_at",
        "kind_whole",
        "outcome_text",
        "reason_whole",
        "user_link",
        "client_whole",
        "connection_id",
        "subject",
        "address",
        "agent",
        "detail_text",
    )
    readonly_fields = fields

    def get_urls(self) -> list[URLPattern]:
        name = f"{self.opts.app_label}_{self.opts.model_name}_export"
        export = self.admin_site.admin_view(require_GET(self.export))
        return [path("export/", export, name=name), *super().get_urls()]

    def export(self, request: HttpRequest) -> HttpResponseBase:
        """What the list shows with the same filters, as CSV."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        try:
            found = self.get_changelist_instance(request)
        except IncorrectLookupParameters:
            raise Http404 from None
        return export_events(request, found.queryset)

    @admin.display(description=gettext_lazy("kind"))
    def kind_text(self, row: Event) -> str:
        return kind_label(row.kind)

    @admin.display(description=gettext_lazy("kind"))
    def kind_whole(self, row: Event) -> str:
        # With the code, which exports, logs and signals have.
        return f"{kind_label(row.kind)} ({row.kind})"

    @admin.display(description=gettext_lazy("outcome"))
    def outcome_text(self, row: Event) -> str:
        return outcome_label(row.outcome)

    @admin.display(description=gettext_lazy("reason"))
    def reason_text(self, row: Event) -> str:
        return reason_label(row.reason)

    @admin.display(description=gettext_lazy("reason"))
    def reason_whole(self, row: Event) -> str:
        return reason_label(row.reason, 255)

    @admin.display(description=gettext_lazy("client"))
    def client_text(self, row: Event) -> str:
        return cut(str(row.client) if row.client else row.client_name)

    @admin.display(description=gettext_lazy("client"))
    def client_whole(self, row: Event) -> str:
        # The name that it had, where it has gone.
        return self.link_to(row.client) if row.client else cut(row.client_name, 100)

    @admin.display(description=gettext_lazy("detail"))
    def detail_text(self, row: Event) -> SafeString:
        return pretty_json(row.detail)
