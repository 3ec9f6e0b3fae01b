"""For a project's own list of users: what they connected, and actions that end it.

from mcp_oidc.admin.users import AccessAdmin

class MemberAdmin(AccessAdmin, UserAdmin):
    pass
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth.base_user import AbstractBaseUser
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.access import ask_idp_again, end_of_idp_tokens, end_of_logins, end_of_users
from mcp_oidc.admin.decisions import ModelAdmin, decide
from mcp_oidc.admin.texts import cut
from mcp_oidc.models import Connection, Consent, Event, Identity, LoginSession

if TYPE_CHECKING:
    _Inline = admin.TabularInline[Identity, Any]
else:
    _Inline = admin.TabularInline

Users = QuerySet[AbstractBaseUser]


@admin.action(description=gettext_lazy("End all MCP connections"), permissions=["change"])
def end_connections(model_admin: ModelAdmin, request: HttpRequest, queryset: Users) -> HttpResponse | None:
    """End every connection of the users, once the operator has confirmed it."""
    decision = end_of_users(lambda user: user, lambda users: users.order_by().values("pk"))
    return decide(model_admin, request, queryset, decision)


@admin.action(description=gettext_lazy("End login sessions"), permissions=["change"])
def end_logins(model_admin: ModelAdmin, request: HttpRequest, queryset: Users) -> HttpResponse | None:
    """Log the browsers of the users out that logged in at the identity provider."""
    return decide(model_admin, request, queryset, end_of_logins(_identities_of))


@admin.action(description=gettext_lazy("Forget IdP tokens"), permissions=["change"])
def forget_tokens(model_admin: ModelAdmin, request: HttpRequest, queryset: Users) -> HttpResponse | None:
    """Drop what is kept of the identity provider's tokens."""
    return decide(model_admin, request, queryset, end_of_idp_tokens(_identities_of))


@admin.action(description=gettext_lazy("Ask the IdP about access"), permissions=["change"])
def ask_again(model_admin: ModelAdmin, request: HttpRequest, queryset: Users) -> HttpResponse | None:
    """Ask the identity provider whether the users still have access."""
    return ask_idp_again(model_admin, request, queryset, _identities_of)


USER_ACTIONS = (end_connections, end_logins, forget_tokens, ask_again)


class IdentityInline(_Inline):
    """The identities of a user, and the way to what hangs on them. Nothing is edited here."""

    model = Identity
    fields = ("identity", "issuer", "last_login_at", "more")
    readonly_fields = fields
    extra = 0
    can_delete = False
    verbose_name_plural = gettext_lazy("MCP access: identities, connections, sessions")

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return _may(request, "view") or _may(request, "revoke")

    @admin.display(description=gettext_lazy("sub at the issuer"))
    def identity(self, row: Identity) -> SafeString:
        """Its `sub`, leading to its page."""
        return format_html('<a href="{}">{}</a>', reverse(self._name(Identity, "change"), args=[row.pk]), cut(row.sub))

    @admin.display(description=gettext_lazy("issuer"))
    def issuer(self, row: Identity) -> str:
        """Its issuer."""
        return cut(row.issuer, 60)

    @admin.display(description=gettext_lazy("all of this user"))
    def more(self, row: Identity) -> SafeString:
        """Links to the lists of what hangs on the user."""
        models = (Connection, Consent, LoginSession, Event)
        query = urlencode({"of_user": row.user_id})
        links = [(reverse(self._name(model, "changelist")), query, model._meta.verbose_name_plural) for model in models]
        return format_html_join(" · ", '<a href="{}?{}">{}</a>', links)

    def _name(self, model: type[Any], page: str) -> str:
        return f"{self.admin_site.name}:{model._meta.app_label}_{model._meta.model_name}_{page}"


if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Any]
else:
    _Base = object


class AccessAdmin(_Base):
    """Adds both to the admin of a project's users. The actions are for who may change identities, or revoke them."""

    def get_inlines(self, request: HttpRequest, obj: Any) -> Any:
        """The project's own, and ours for a user who exists."""
        inlines = super().get_inlines(request, obj)
        return [*inlines, IdentityInline] if obj is not None else inlines

    def get_actions(self, request: HttpRequest, action_location: Any = None) -> Any:
        """The project's own, and ours."""
        # From 6.1 on Django says where they are shown; before it knows of no other place than the list.
        place = {} if action_location is None else {"action_location": action_location}
        actions: dict[str, Any] = super().get_actions(request, **place)
        if not (_may(request, "change") or _may(request, "revoke")):
            return actions
        # Not as Django filters them: support staff need not be able to change users for it.
        return {**actions, **{action.__name__: self.get_action(action) for action in USER_ACTIONS}}


def _identities_of(users: QuerySet[Any]) -> Q:
    return Q(user__in=users.order_by().values("pk"))


def _may(request: HttpRequest, verb: str) -> bool:
    return request.user.has_perm(f"{Identity._meta.app_label}.{verb}_{Identity._meta.model_name}")
