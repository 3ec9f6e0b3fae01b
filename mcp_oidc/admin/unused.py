"""DOT's token tables, which stay empty: codes and tokens are computed from Connections and not stored."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from mcp_oidc.admin.records import RecordAdmin


class UnusedAdmin(RecordAdmin):
    """What DOT's admin registers those models with, so that they do not show."""

    def has_module_permission(self, request: HttpRequest) -> bool:
        return False

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
