"""Clients. DOT's admin registers its application model, which is our client, with the class that is here."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.contrib import admin
from django.core.checks import CheckMessage
from django.db.models import Count, Q
from django.http import HttpRequest, HttpResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.client_actions import DecidingAboutClients
from mcp_oidc.admin.client_filters import RedirectFilter, StateFilter, UseFilter
from mcp_oidc.admin.client_form import ClientForm
from mcp_oidc.admin.decisions import living_connections, operator_of
from mcp_oidc.admin.panels import Panel, Panels
from mcp_oidc.admin.searching import users_called
from mcp_oidc.admin.texts import cut, lines, pretty_json, redirect_kinds
from mcp_oidc.core.clients import change_client, register_by_hand
from mcp_oidc.models import AbstractClient, Connection


class ClientAdmin(DecidingAboutClients):
    """What a client registered cannot be edited here; what an operator added can."""

    form = ClientForm
    list_display = (
        "name_text",
        "host_text",
        "users",
        "living",
        "last_used_at",
        "state",
        "source",
        "redirects",
        "created",
        "client_id_text",
    )
    list_filter = (StateFilter, UseFilter, "registration_source", RedirectFilter, "last_used_at", "created")
    search_clients = "pk"
    search_help_text = gettext_lazy(
        "A part of the name, id, host or redirect URI; or of the name or e-mail address of a user who connected it."
    )
    ordering = ("-pk",)
    sortable_by = ("last_used_at",)
    form_fields = ("name", "redirect_uris", "token_endpoint_auth_method", "serves", "exchanges")
    fields = (
        "name",
        "client_id",
        "host_text",
        "users",
        "living",
        "redirect_uris",
        "token_endpoint_auth_method",
        "serves",
        "exchanges",
        "registration_source",
        "state",
        "trust_text",
        "skip_authorization",
        "metadata_text",
        "created",
        "updated",
        "last_used_at",
        "deleted_at",
    )

    # To those who may only look.
    shown_instead = {"name": "name_whole", "redirect_uris": "redirect_uri_list", "exchanges": "exchanges_tokens"}

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        # With another application model there is one mistake to tell, and our own check tells it.
        return super().check(**kwargs) if issubclass(self.model, AbstractClient) else []

    def find_names(self, request: HttpRequest, word: str) -> Q:
        users = self.meant(request, users_called(word))
        return super().find_names(request, word) | Q(pk__in=Connection.objects.filter(user__in=users).values("client"))

    def get_changelist_instance(self, request: HttpRequest) -> Any:
        changelist = super().get_changelist_instance(request)
        _count(changelist.result_list)
        return changelist

    def get_object(self, request: HttpRequest, object_id: str, from_field: str | None = None) -> Any:
        row = super().get_object(request, object_id, from_field)
        _count([row] if row is not None else [])
        return row

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form: Any = super().get_form(request, obj, change, **kwargs)
        # A class of its own for each request.
        form.request = request
        return form

    def get_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return self.form_fields
        if self.has_change_permission(request, obj):
            return self.fields
        return tuple(self.shown_instead.get(name, name) for name in self.fields)

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> tuple[str, ...]:
        if obj is None:
            return ()
        editable = ("name", "redirect_uris", "serves", "exchanges") if self.has_change_permission(request, obj) else ()
        return tuple(name for name in self.get_fields(request, obj) if name not in editable)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._is_granted(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Only for what an operator added: the others are described by themselves."""
        is_ours = obj is None or (obj.registration_source == "manual" and obj.deleted_at is None)
        return is_ours and self._is_granted(request, "change")

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Keep the client, and queue the message that shows its secret."""
        if change:
            change_client(obj, form.metadata, caller=operator_of(request))
            return
        registration = register_by_hand(obj, form.metadata, caller=operator_of(request))
        obj.secret_to_show = registration.secret

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        if obj.secret_to_show is None:
            return super().response_add(request, obj, post_url_continue)
        return self.show_secrets(request, _("The client was added"), [(obj, obj.secret_to_show)])

    def panels_of(self, request: HttpRequest, row: AbstractClient) -> list[Panel]:
        panels = Panels(request, self.admin_site, "client", row.pk)
        panels.add_users()
        panels.add_connections()
        panels.add_consents()
        panels.add_events()
        return panels.panels

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def name_text(self, row: AbstractClient) -> str:
        return cut(row.name or "—")

    @admin.display(description=gettext_lazy("client id"), ordering="client_id")
    def client_id_text(self, row: AbstractClient) -> str:
        return cut(row.client_id)

    @admin.display(description=gettext_lazy("name"))
    def name_whole(self, row: AbstractClient) -> str:
        return cut(row.name or "—", 255)

    @admin.display(description=gettext_lazy("host"))
    def host_text(self, row: AbstractClient) -> str:
        return cut(row.host or "—")

    @admin.display(description=gettext_lazy("redirects to"))
    def redirects(self, row: AbstractClient) -> str:
        return redirect_kinds(row.redirect_uris) or "—"

    @admin.display(description=gettext_lazy("registered"))
    def source(self, row: AbstractClient) -> str:
        """How it was registered, in fewer words than DOT has."""
        words = {"manual": _("by hand"), "dcr": _("by itself"), "cimd": _("by its document")}
        return words.get(row.registration_source, cut(row.registration_source))

    @admin.display(description=gettext_lazy("users now"))
    def users(self, row: Any) -> int:
        return int(row.living_users)

    @admin.display(description=gettext_lazy("living connections"))
    def living(self, row: Any) -> int:
        return int(row.living_connections)

    @admin.display(description=gettext_lazy("trust"))
    def trust_text(self, row: AbstractClient) -> str:
        return str(row.get_trust_display())

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: AbstractClient) -> str:
        if row.deleted_at is not None:
            return _("deleted")
        if not row.is_alive:
            return _("blocked")
        return _("trusted") if row.trust else _("active")

    @admin.display(description=gettext_lazy("redirect URIs"))
    def redirect_uri_list(self, row: AbstractClient) -> SafeString:
        return lines(row.redirect_uris)

    @admin.display(description=gettext_lazy("token exchange"), boolean=True)
    def exchanges_tokens(self, row: AbstractClient) -> bool:
        return row.exchanges_tokens

    @admin.display(description=gettext_lazy("registered metadata"))
    def metadata_text(self, row: AbstractClient) -> SafeString:
        return pretty_json(row.metadata)


def _count(rows: Iterable[Any]) -> None:
    """Give the clients of one page the number of users and connections that they have now."""
    keys = [row.pk for row in rows]
    living = living_connections().filter(client__in=keys).order_by().values("client")
    # Nothing but what stands in one index: everybody may have one of them.
    counted = living.annotate(users=Count("user", distinct=True), all=Count("client"))
    counts = {each["client"]: each for each in counted}
    for row in rows:
        found = counts.get(row.pk, {"users": 0, "all": 0})
        row.living_users, row.living_connections = found["users"], found["all"]
