"""Processes that read the signing keys again after a second, so that a rotation takes seconds as well."""

from __future__ import annotations

import sys

from django.apps import AppConfig

KEYS_MAX_AGE = 1


class QuickKeysConfig(AppConfig):
    """Sets it before anything takes a copy."""

    name = "tests.faults.quick_keys"

    def ready(self) -> None:
        from mcp_oidc.core import kept_keys

        assert "mcp_oidc.core.keys" not in sys.modules
        kept_keys.KEYS_MAX_AGE = KEYS_MAX_AGE
