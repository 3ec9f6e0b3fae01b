"""What the pages of the admin have in common: rows are shown, and decided about by actions. Only core writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_permission_codename
from django.db import transaction
from django.db.models import Model
from django.http import HttpRequest, HttpResponse
from django.urls import NoReverseMatch, reverse
from django.utils.decorators import method_decorator
from django.utils.html import format_html
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.pagination import BoundedPaginator
from mcp_oidc.admin.panels import Panel
from mcp_oidc.admin.texts import cut

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class RecordAdmin(_ModelAdmin):
    """Rows that are neither added nor edited by hand. Actions need the model's revoke, change or delete permission."""

    change_form_template = "mcp_oidc/admin/change_form.html"
    change_list_template = "mcp_oidc/admin/change_list.html"
    list_per_page = 50
    # Counting all rows of a big table takes longer than showing a page of it.
    show_full_result_count = False
    paginator = BoundedPaginator
    # A count for each choice of each filter, of all rows.
    show_facets = admin.ShowFacets.NEVER
    view_on_site = False
    # The model is named for the protocol; the title of its page says what an operator looks for.
    list_title: Any = None

    class Media:
        css = {"all": ["mcp_oidc/admin.css"]}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never on its own pages, but elsewhere as granted: a user could not be deleted without what hangs on them."""
        return not self._is_own_page(request) and super().has_delete_permission(request, obj)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Who may revoke may see what."""
        return super().has_view_permission(request, obj) or self._is_granted(request, "revoke")

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """For actions that take access away: the model's revoke permission, or change, which is more."""
        return self._is_granted(request, "revoke") or self._is_granted(request, "change")

    def has_decide_permission(self, request: HttpRequest) -> bool:
        """For actions that give something: the model's change permission."""
        return self._is_granted(request, "change")

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """For actions that delete: the model's delete permission."""
        return self._is_granted(request, "delete")

    # Each decision is a transaction of its own, and no lock may wait for the identity provider.
    @method_decorator(transaction.non_atomic_requests)
    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = {"title": self.list_title} if self.list_title else {}
        return super().changelist_view(request, {**title, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Offer the actions as buttons on the page of a row, too, and show what hangs on it."""
        row = kwargs.get("obj")
        if row is not None:
            context |= {
                "subtitle": cut(str(row), 60),
                "row_actions": self.row_actions(request, row),
                "panels": self.panels_of(request, row),
            }
        return super().render_change_form(request, context, *args, **kwargs)

    def row_actions(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        """Name and label of each action that makes sense for `row`."""
        return self.get_action_choices(request, [])

    def panels_of(self, request: HttpRequest, row: Any) -> list[Panel]:
        """What hangs on `row`."""
        return []

    def link_to(self, row: Model | None) -> str:
        """The name of another row, leading to its page if there is one."""
        if row is None:
            return "-"
        name = f"{self.admin_site.name}:{row._meta.app_label}_{row._meta.model_name}_change"
        try:
            return format_html('<a href="{}">{}</a>', reverse(name, args=[row.pk]), cut(str(row), 100))
        except NoReverseMatch:
            return cut(str(row), 100)

    @admin.display(description=gettext_lazy("user"))
    def user_text(self, row: Any) -> str:
        """Its user, in a list."""
        return cut(str(row.user)) if row.user else "-"

    @admin.display(description=gettext_lazy("user"))
    def user_link(self, row: Any) -> str:
        """Its user, on its page."""
        return self.link_to(row.user)

    @admin.display(description=gettext_lazy("client"))
    def client_text(self, row: Any) -> str:
        """Its client, in a list."""
        return cut(str(row.client)) if row.client else "-"

    @admin.display(description=gettext_lazy("client"))
    def client_link(self, row: Any) -> str:
        """Its client, on its page."""
        return self.link_to(row.client)

    @admin.display(description=gettext_lazy("identity"))
    def identity_link(self, row: Any) -> str:
        """Its identity, on its page."""
        return self.link_to(row.identity)

    def _is_own_page(self, request: HttpRequest) -> bool:
        match = request.resolver_match
        name = f"{self.opts.app_label}_{self.opts.model_name}_"
        return match is None or (match.url_name or "").startswith(name)

    def _is_granted(self, request: HttpRequest, verb: str) -> bool:
        codename = get_permission_codename(verb, self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")
