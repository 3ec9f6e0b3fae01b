"""Clients. DOT's admin registers its application model, which is our client, with the class that is here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from django.contrib import admin
from django.core.checks import CheckMessage
from django.db.models import Count, Exists, OuterRef, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.client_form import ClientForm
from mcp_oidc.admin.decisions import DecidingAdmin, Decision, bystanders, living_connections, operator_of
from mcp_oidc.admin.panels import Panel, Panels
from mcp_oidc.admin.searching import users_called
from mcp_oidc.admin.texts import cut, lines, pretty_json, redirect_kinds
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import change_client, register_by_hand, replace_secret
from mcp_oidc.core.revocation import block_client, delete_client, revoke_client, unblock_client
from mcp_oidc.core.trust import distrust_client, trust_client
from mcp_oidc.models import AbstractClient, Connection


class StateFilter(admin.SimpleListFilter):
    """Deleted clients are out of sight until they are asked for."""

    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("trusted", _("trusted")), ("blocked", _("blocked")), ("deleted", _("deleted"))]

    def choices(self, changelist: Any) -> Iterator[Any]:
        every, *others = super().choices(changelist)
        yield {**every, "display": _("not deleted")}
        yield from others

    def queryset(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> QuerySet[AbstractClient]:
        if self.value() == "deleted":
            return queryset.exclude(deleted_at=None)
        living = queryset.filter(deleted_at=None)
        if self.value() in ("trusted", "blocked"):
            return living.filter(trust=self.value())
        return living


class RedirectFilter(admin.SimpleListFilter):
    """Where the answers to a client go, or some of them."""

    title = gettext_lazy("redirects to")
    parameter_name = "redirects"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("loopback", _("loopback")), ("website", _("website")), ("scheme", _("private-use scheme"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> QuerySet[AbstractClient]:
        # http is for loopback hosts alone.
        texts = {"loopback": "http://", "website": "https://"}
        if self.value() in texts:
            return queryset.filter(redirect_uris__contains=texts[str(self.value())])
        if self.value() == "scheme":
            return queryset.filter(redirect_uris__regex=r"(^|\s)(?!https?:)\S")
        return queryset


class UseFilter(admin.SimpleListFilter):
    """Whether anybody is connected with it."""

    title = gettext_lazy("use")
    parameter_name = "use"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("connected", _("connected now")), ("unused", _("never used"))]

    def queryset(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> QuerySet[AbstractClient]:
        if self.value() == "connected":
            return queryset.filter(Exists(living_connections().filter(client=OuterRef("pk"))))
        return queryset.filter(last_used_at=None) if self.value() == "unused" else queryset


class ClientAdmin(DecidingAdmin):
    """What a client registered cannot be edited here; what an operator added can."""

    form = ClientForm
    actions = ("revoke_access", "block", "unblock", "trust_it", "distrust", "replace_secret", "delete")
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
        return self._show_secrets(request, _("The client was added"), [(obj, obj.secret_to_show)])

    def connections_of(self, queryset: QuerySet[AbstractClient]) -> QuerySet[Connection]:
        return living_connections().filter(client__in=queryset.order_by().values("pk"))

    def row_actions(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        if row.deleted_at is not None:
            return []
        trust = AbstractClient.Trust
        hidden = {
            trust.NONE: {"unblock", "distrust"},
            trust.TRUSTED: {"unblock", "trust_it"},
            trust.BLOCKED: {"block", "trust_it", "distrust"},
        }[trust(row.trust)]
        if row.registration_source != "manual" or not row.client_secret:
            hidden.add("replace_secret")
        return [(name, label) for name, label in super().row_actions(request, row) if name not in hidden]

    def panels_of(self, request: HttpRequest, row: AbstractClient) -> list[Panel]:
        panels = Panels(request, self.admin_site, "client", row.pk)
        panels.add_users()
        panels.add_connections()
        panels.add_consents()
        panels.add_events()
        return panels.panels

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
            explanation=_(
                "All their access is revoked, and nobody can connect with them until they are unblocked. A metadata "
                "document that is read again changes nothing about it. An app that registers itself anew gets another "
                "id: to refuse those as well, block its host."
            ),
            apply=lambda row, caller: block_client(row, caller=caller),
            done=_("Blocked."),
        )
        return self.decide(request, queryset, decision)

    @admin.action(description=gettext_lazy("Unblock"), permissions=["decide"])
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

    @admin.action(description=gettext_lazy("Trust"), permissions=["decide"])
    def trust_it(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Vouch for the clients."""
        decision = Decision(
            question=_("Trust these clients?"),
            explanation=_(
                "The consent page says that you have checked them, and users rely on that. Whoever can change what "
                "such a client does acts with your word."
            ),
            apply=lambda row, caller: trust_client(row, caller=caller),
            done=_("Trusted."),
            effects=lambda rows: bystanders(self.connections_of(rows)),
        )
        undecided = queryset.filter(trust=AbstractClient.Trust.NONE, deleted_at=None)
        return self.decide(request, undecided, decision)

    @admin.action(description=gettext_lazy("Trust no longer"), permissions=["decide"])
    def distrust(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Vouch for the clients no longer."""
        decision = Decision(
            question=_("Trust these clients no longer?"),
            explanation=_("The consent page says again that nobody has checked them. Nobody is disconnected."),
            apply=lambda row, caller: distrust_client(row, caller=caller),
            done=_("Trusted no longer."),
            effects=lambda rows: bystanders(self.connections_of(rows)),
        )
        return self.decide(request, queryset.filter(trust=AbstractClient.Trust.TRUSTED), decision)

    @admin.action(description=gettext_lazy("New secret"), permissions=["decide"])
    def replace_secret(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Give the clients another secret, and show it."""
        made: list[tuple[AbstractClient, str]] = []

        def apply(row: AbstractClient, caller: Caller) -> None:
            secret = replace_secret(row, caller=caller)
            if secret is not None:
                made.append((row, secret))

        decision = Decision(
            question=_("Make a new secret for these clients?"),
            explanation=_(
                "The old secret is refused at once: what uses it fails until it has the new one, which is shown on "
                "the next page and never again. Nobody is disconnected."
            ),
            apply=apply,
            done=_("New secret."),
            effects=lambda rows: bystanders(self.connections_of(rows)),
        )
        ours = queryset.filter(registration_source="manual", deleted_at=None).exclude(client_secret="")  # none
        return self.decide(request, ours, decision) or self._show_secrets(request, _("New secrets"), made)

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

    def _show_secrets(
        self, request: HttpRequest, title: str, secrets: list[tuple[AbstractClient, str]]
    ) -> HttpResponse:
        # At once, and not by a message: one that waits for a redirect lies in a cookie or in the session's table.
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "secrets": secrets}
        return TemplateResponse(request, "mcp_oidc/admin/client_secrets.html", context)


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
