"""Clients. DOT's admin registers its application model, which is our client, with the class that is here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin, messages
from django.core.checks import CheckMessage
from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.client_form import ClientForm
from mcp_oidc.admin.decisions import DecidingAdmin, Decision, living_connections, operator_of
from mcp_oidc.admin.texts import cut, lines, pretty_json
from mcp_oidc.core.clients import change_client, register_by_hand
from mcp_oidc.core.revocation import block_client, delete_client, revoke_client, unblock_client
from mcp_oidc.models import AbstractClient, Connection


class StateFilter(admin.SimpleListFilter):
    """Deleted clients are out of sight until they are asked for."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("blocked", _("blocked")), ("deleted", _("deleted"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        every, *others = super().choices(changelist)
        yield {**every, "display": _("not deleted")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> QuerySet[AbstractClient]:
        if self.value() == "deleted":
            return queryset.exclude(deleted_at=None)
        if self.value() == "blocked":
            return queryset.filter(deleted_at=None, trust=AbstractClient.Trust.BLOCKED)
        return queryset.filter(deleted_at=None)


class ClientAdmin(DecidingAdmin):
    """What a client registered cannot be edited here; what an operator added can."""

    form = ClientForm
    actions = ("revoke_access", "block", "unblock", "delete")
    list_display = ("name_text", "state", "users", "last_used_at", "created", "registration_source", "client_id_text")
    list_filter = (StateFilter, "registration_source", "last_used_at", "created")
    search_fields = ("name", "client_id", "redirect_uris")
    ordering = ("-pk",)
    form_fields = ("name", "redirect_uris", "token_endpoint_auth_method", "serves", "exchanges")
    fields = (
        "name",
        "client_id",
        "redirect_uris",
        "token_endpoint_auth_method",
        "serves",
        "exchanges",
        "registration_source",
        "state",
        "trust",
        "skip_authorization",
        "metadata_text",
        "created",
        "updated",
        "last_used_at",
        "deleted_at",
    )

    # To those who may only look.
    shown_instead = {"redirect_uris": "redirect_uri_list", "exchanges": "exchanges_tokens"}

    def check(self, **kwargs: Any) -> list[CheckMessage]:
        # With another application model there is one mistake to tell, and our own check tells it.
        return super().check(**kwargs) if issubclass(self.model, AbstractClient) else []

    def get_queryset(self, request: HttpRequest) -> QuerySet[AbstractClient]:
        living = living_connections().filter(client=OuterRef("pk")).order_by().values("client")
        users = living.annotate(users=Count("user", distinct=True)).values("users")
        queryset: QuerySet[AbstractClient] = super().get_queryset(request).annotate(living_users=Subquery(users))
        return queryset

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
        if registration.secret is not None:
            text = _("Client id: %(id)s — client secret: %(secret)s")
            values = {"id": obj.client_id, "secret": registration.secret}
            self.message_user(request, text % values, messages.SUCCESS)

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        if obj.is_public:
            return super().response_add(request, obj, post_url_continue)
        # Shown at once: a message that waits for a redirect lies in a cookie or in the session's table until then.
        context = {
            **self.admin_site.each_context(request),
            "title": _("The client was added"),
            "opts": self.opts,
            "client": obj,
        }
        return TemplateResponse(request, "mcp_oidc/admin/client_added.html", context)

    def connections_of(self, queryset: QuerySet[AbstractClient]) -> QuerySet[Connection]:
        return living_connections().filter(client__in=queryset.order_by().values("pk"))

    def row_actions(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        if row.deleted_at is not None:
            return []
        hidden = "block" if row.trust == AbstractClient.Trust.BLOCKED else "unblock"
        return [(name, label) for name, label in super().row_actions(request, row) if name != hidden]

    @admin.action(description=gettext_lazy("Revoke all access"), permissions=["revoke"])
    def revoke_access(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """End every connection of the clients."""
        decision = Decision(
            question=_("Revoke all access of these clients?"),
            explanation=_("Their tokens are refused from the next request on. Users are asked again if they return."),
            apply=lambda row, caller: revoke_client(row, "revoked_by_admin", caller=caller),
            done=_("All access revoked."),
        )
        return self.decide(request, queryset, decision)

    @admin.action(description=gettext_lazy("Block"), permissions=["revoke"])
    def block(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Refuse the clients until they are unblocked."""
        decision = Decision(
            question=_("Block these clients?"),
            explanation=_("All their access is revoked, and nobody can connect with them until they are unblocked."),
            apply=lambda row, caller: block_client(row, caller=caller),
            done=_("Blocked."),
        )
        return self.decide(request, queryset, decision)

    @admin.action(description=gettext_lazy("Unblock"), permissions=["revoke"])
    def unblock(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Let blocked clients begin anew."""
        decision = Decision(
            question=_("Unblock these clients?"),
            explanation=_("Users can connect with them again. What was revoked stays revoked."),
            apply=lambda row, caller: unblock_client(row, caller=caller),
            done=_("Unblocked."),
        )
        blocked = queryset.filter(trust=AbstractClient.Trust.BLOCKED)
        return self.decide(request, blocked, decision)

    @admin.action(description=gettext_lazy("Delete"), permissions=["remove"])
    def delete(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """End the clients for good."""
        decision = Decision(
            question=_("Delete these clients?"),
            explanation=_(
                "All their access is revoked, for good. Their ids are never given out again: whoever still uses one is "
                "told that the client is unknown, and registers anew."
            ),
            apply=lambda row, caller: delete_client(row, caller=caller),
            done=_("Deleted."),
        )
        return self.decide(request, queryset.filter(deleted_at=None), decision)

    @admin.display(description=gettext_lazy("name"), ordering="name")
    def name_text(self, row: AbstractClient) -> str:
        return cut(row.name or "—")

    @admin.display(description=gettext_lazy("client id"), ordering="client_id")
    def client_id_text(self, row: AbstractClient) -> str:
        return cut(row.client_id)

    @admin.display(description=gettext_lazy("users"), ordering="living_users")
    def users(self, row: Any) -> int:
        return row.living_users or 0

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: AbstractClient) -> str:
        if row.deleted_at is not None:
            return _("deleted")
        return _("living") if row.is_alive else _("blocked")

    @admin.display(description=gettext_lazy("redirect URIs"))
    def redirect_uri_list(self, row: AbstractClient) -> str:
        return lines(row.redirect_uris)

    @admin.display(description=gettext_lazy("token exchange"), boolean=True)
    def exchanges_tokens(self, row: AbstractClient) -> bool:
        return row.exchanges_tokens

    @admin.display(description=gettext_lazy("registered metadata"))
    def metadata_text(self, row: AbstractClient) -> SafeString:
        return pretty_json(row.metadata)
