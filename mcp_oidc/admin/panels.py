"""What hangs on a row, shown on its page: the newest few of each kind, and the way to all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from django.contrib.admin import AdminSite
from django.contrib.admin.utils import display_for_value
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.utils.translation import gettext as _

from mcp_oidc.admin.labels import kind_label, outcome_label, reason_label
from mcp_oidc.admin.texts import cut
from mcp_oidc.core.clock import Now
from mcp_oidc.models import Connection, Consent, Event, Identity, LoginSession

MAX_ROWS = 10


@dataclass(frozen=True)
class Panel:
    """A table. `more_url` leads to the list of all its rows, `has_more` tells that there are others than those here."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    has_more: bool
    more_url: str


@dataclass(frozen=True)
class Panels:
    """The panels of a row, as far as whoever looks at it may see their lists."""

    request: HttpRequest
    site: AdminSite
    # How lists are told which rows: `client`, `user` or `identity`, and its key.
    owner: str
    key: Any
    panels: list[Panel] = field(default_factory=list)

    def add_users(self) -> None:
        """Who is connected now."""
        living = self._rows(Connection).filter(_LIVING).select_related("user").order_by("-expires_at")
        # The last that were used, and not all: everybody may have this client.
        latest: dict[Any, Connection] = {}
        for row in living[: MAX_ROWS * 10]:
            latest.setdefault(row.user_id, row)
        rows = [[self.link(row.user), _text(row.last_used_at)] for row in latest.values()]
        self._add(Connection, _("Users who are connected"), (_("User"), _("Last used")), rows, state="living")

    def add_connections(self) -> None:
        """The connections that live, and those that have ended."""
        rows = self._rows(Connection).select_related("user", "client").order_by("-expires_at")
        other = _("Client") if self.owner != "client" else _("User")
        living = [
            [*self._of(row), _text(row.created_at), _text(row.last_used_at), _text(row.expires_at)]
            for row in rows.filter(_LIVING)[: MAX_ROWS + 1]
        ]
        headings = (_("Device"), other, _("Created"), _("Last used"), _("Expires"))
        self._add(Connection, _("Living connections"), headings, living, state="living")
        ended = [
            [
                *self._of(row),
                _text(row.created_at),
                _text(row.last_used_at),
                reason_label(row.revoked_reason) or _("expired"),
            ]
            for row in rows.exclude(_LIVING)[: MAX_ROWS + 1]
        ]
        headings = (_("Device"), other, _("Created"), _("Last used"), _("Reason"))
        self._add(Connection, _("Ended connections"), headings, ended, state="ended")

    def add_consents(self) -> None:
        """What was approved."""
        found = self._rows(Consent).select_related("user", "client").order_by("-pk")[: MAX_ROWS + 1]
        rows = [
            [self.link(row, cut(row.resource)), self._other(row), cut(row.scopes), _text(row.approved_at)]
            for row in found
        ]
        other = _("Client") if self.owner != "client" else _("User")
        self._add(Consent, _("Consents"), (_("Resource"), other, _("Scopes"), _("Approved")), rows)

    def add_sessions(self) -> None:
        """Logins that browsers still have."""
        found = self._rows(LoginSession).filter(ended_at=None, expires_at__gt=Now()).order_by("-pk")[: MAX_ROWS + 1]
        rows = [
            [self.link(row), _text(row.authenticated_at), _text(row.last_seen_at), _text(row.expires_at)]
            for row in found
        ]
        headings = (_("Session"), _("Logged in"), _("Last seen"), _("Expires"))
        self._add(LoginSession, _("Login sessions"), headings, rows, state="living")

    def add_events(self) -> None:
        """What happened last."""
        found = self._rows(Event).select_related("user", "client").order_by("-created_at")[: MAX_ROWS + 1]
        rows = [
            [
                self.link(row, _text(row.created_at)),
                kind_label(row.kind),
                outcome_label(row.outcome),
                reason_label(row.reason),
                self._other(row),
            ]
            for row in found
        ]
        other = _("Client") if self.owner != "client" else _("User")
        headings = (_("Time"), _("Kind"), _("Outcome"), _("Reason"), other)
        self._add(Event, _("Events"), headings, rows)

    def add_others(self, row: Identity) -> None:
        """Other identities of the same user."""
        found = Identity.objects.filter(user=row.user_id).exclude(pk=row.pk).order_by("-pk")[: MAX_ROWS + 1]
        rows = [[self.link(each), each.provider, _text(each.last_login_at)] for each in found]
        if rows:
            headings = (_("Identity"), _("Provider"), _("Last login"))
            self._add(Identity, _("Other identities of this user"), headings, rows)

    def link(self, row: Model | None, text: str = "") -> str:
        """The row's name, leading to its page if whoever looks may see it."""
        if row is None:
            return "—"
        text = text or cut(str(row))
        if not self._may_see(type(row)):
            return text
        return format_html('<a href="{}">{}</a>', reverse(self._name(type(row), "change"), args=[row.pk]), text)

    def _add(
        self, model: type[Model], title: str, headings: Sequence[str], rows: list[list[str]], **filters: str
    ) -> None:
        if not self._may_see(model):
            return
        query = urlencode({f"of_{self.owner}": self.key, **filters})
        url = f"{reverse(self._name(model, 'changelist'))}?{query}"
        self.panels.append(Panel(title, headings, rows[:MAX_ROWS], len(rows) > MAX_ROWS, url))

    def _rows(self, model: type[Any]) -> QuerySet[Any]:
        rows: QuerySet[Any] = model._default_manager.filter(**{self.owner: self.key})
        return rows if self._may_see(model) else rows.none()

    def _of(self, row: Connection) -> list[str]:
        return [self.link(row, cut(row.device_name) or str(row.pk)[:8]), self._other(row)]

    def _other(self, row: Any) -> str:
        return self.link(row.user if self.owner == "client" else row.client)

    def _may_see(self, model: type[Model]) -> bool:
        # One and the same for proxies and swapped models.
        if not self.site.is_registered(model):
            return False
        return bool(self.site.get_model_admin(model).has_view_permission(self.request))

    def _name(self, model: type[Model], page: str) -> str:
        return f"{self.site.name}:{model._meta.app_label}_{model._meta.model_name}_{page}"


_LIVING = Q(revoked_at=None, expires_at__gt=Now())


def _text(value: Any) -> str:
    return str(display_for_value(value, "—"))
