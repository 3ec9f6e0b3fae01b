"""Filters of the list of clients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.contrib import admin
from django.db.models import Exists, OuterRef, QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.decisions import living_connections
from mcp_oidc.models import AbstractClient


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
