"""What the pages of the admin have in common: rows are shown, and decided about by actions. Only core writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.auth import get_permission_codename, get_user_model
from django.http import HttpRequest, HttpResponse

from mcp_oidc.admin.texts import cut

if TYPE_CHECKING:
    _ModelAdmin = admin.ModelAdmin[Any]
else:
    _ModelAdmin = admin.ModelAdmin


class RecordAdmin(_ModelAdmin):
    """Rows that are neither added nor edited by hand. Actions need the model's change or delete permission."""

    change_form_template = "mcp_oidc/admin/change_form.html"
    list_per_page = 50
    # Counting all rows of a big table takes longer than showing a page of it.
    show_full_result_count = False
    view_on_site = False
    # The model is named for the protocol; the title of its page says what an operator looks for.
    list_title: Any = None

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Never on its own pages, but elsewhere as granted: a user could not be deleted without what hangs on them."""
        return not self._is_own_page(request) and super().has_delete_permission(request, obj)

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        """For actions that take access away: the model's change permission."""
        return self._is_granted(request, "change")

    def has_remove_permission(self, request: HttpRequest) -> bool:
        """For actions that delete: the model's delete permission."""
        return self._is_granted(request, "delete")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        title = {"title": self.list_title} if self.list_title else {}
        return super().changelist_view(request, {**title, **(extra_context or {})})

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Offer the actions as buttons on the page of a row, too."""
        row = kwargs.get("obj")
        if row is not None:
            context |= {"subtitle": cut(str(row), 60), "row_actions": self.row_actions(request, row)}
        return super().render_change_form(request, context, *args, **kwargs)

    def row_actions(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        """Name and label of each action that makes sense for `row`."""
        return self.get_action_choices(request, [])

    def _is_own_page(self, request: HttpRequest) -> bool:
        match = request.resolver_match
        name = f"{self.opts.app_label}_{self.opts.model_name}_"
        return match is None or (match.url_name or "").startswith(name)

    def _is_granted(self, request: HttpRequest, verb: str) -> bool:
        codename = get_permission_codename(verb, self.opts)
        return request.user.has_perm(f"{self.opts.app_label}.{codename}")


def user_search_fields(path: str = "user") -> tuple[str, ...]:
    """Where to search for a person, whatever user model the project has."""
    model = get_user_model()
    names = {field.name for field in model._meta.get_fields()}
    wanted = dict.fromkeys([model.USERNAME_FIELD, model.get_email_field_name()])
    return tuple(f"{path}__{name}" for name in wanted if name in names)
