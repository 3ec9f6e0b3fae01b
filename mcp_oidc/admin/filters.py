"""Filters that links of other pages set, as from a client to its connections. They show only while they are set."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from django.contrib import admin
from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.texts import cut
from mcp_oidc.core.clients import clients
from mcp_oidc.models import Connection, Identity


class _OfFilter(admin.SimpleListFilter, ABC):
    """The rows of one user, client or identity. `column` refers to it."""

    column = ""

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        key = self.value()
        if key is None:
            return []
        try:
            row = self.owners().filter(pk=key).first()
        except (ValueError, ValidationError, OverflowError):
            row = None
        return [(key, cut(str(row)))] if row is not None else []

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.filter(**{self.column: self.value()}) if self.lookup_choices else queryset

    @abstractmethod
    def owners(self) -> QuerySet[Any]:
        """Among which the row is looked up."""


class OfUser(_OfFilter):
    """Those of one user."""

    title = gettext_lazy("user")
    parameter_name = "of_user"
    column = "user"

    def owners(self) -> QuerySet[Any]:
        return get_user_model()._default_manager.all()


class OfIdentitysUser(OfUser):
    """The same, for rows that belong to an identity."""

    column = "identity__user"


class OfClient(_OfFilter):
    """Those of one client."""

    title = gettext_lazy("client")
    parameter_name = "of_client"
    column = "client"

    def owners(self) -> QuerySet[Any]:
        return clients()


class OfIdentity(_OfFilter):
    """Those of one identity."""

    title = gettext_lazy("identity")
    parameter_name = "of_identity"
    column = "identity"

    def owners(self) -> QuerySet[Any]:
        return Identity.objects.all()


class OfConnection(_OfFilter):
    """Those of one connection."""

    title = gettext_lazy("connection")
    parameter_name = "of_connection_id"
    column = "connection_id"

    def owners(self) -> QuerySet[Any]:
        return Connection.objects.all()
