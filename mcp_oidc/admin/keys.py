"""Signing keys: what each of them is for, and their public halves."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib import admin
from django.contrib.admin.utils import display_for_value
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.records import RecordAdmin
from mcp_oidc.admin.texts import pretty_json
from mcp_oidc.conf import app_settings
from mcp_oidc.core.kept_keys import KeptKey, KeyState, with_times
from mcp_oidc.models import SigningKey

_STATES = {
    KeyState.PUBLISHED: gettext_lazy("published, signs later"),
    KeyState.SIGNING: gettext_lazy("signing"),
    KeyState.VERIFYING: gettext_lazy("verifying only"),
    KeyState.EXPIRED: gettext_lazy("expired"),
}


@admin.register(SigningKey)
class SigningKeyAdmin(RecordAdmin):
    """One row for each key that lives in the database. They are rotated by `manage.py mcp_oidc_rotate_keys`."""

    list_display = ("kid", "algorithm", "state", "created_at", "activates_at", "retires_at", "deletable_at")
    ordering = ("-pk",)
    fields = (
        "kid",
        "algorithm",
        "state",
        "created_at",
        "activates_at",
        "retires_at",
        "deletable_at",
        "public_jwk_text",
    )
    readonly_fields = fields

    def get_queryset(self, request: HttpRequest) -> QuerySet[Any]:
        return with_times(super().get_queryset(request))

    @admin.display(description=gettext_lazy("state"))
    def state(self, row: SigningKey) -> str:
        if _are_elsewhere():
            return _("not in use: JWKS is set")
        return str(_STATES[KeptKey.of(row).state])

    @admin.display(description=gettext_lazy("signs until"))
    def retires_at(self, row: SigningKey) -> str:
        return _time(KeptKey.of(row).retires_at)

    @admin.display(description=gettext_lazy("may be deleted"))
    def deletable_at(self, row: SigningKey) -> str:
        return _time(KeptKey.of(row).deletable_at)

    @admin.display(description=gettext_lazy("public key"))
    def public_jwk_text(self, row: SigningKey) -> SafeString:
        return pretty_json(row.public_jwk)


def _time(value: datetime | None) -> str:
    # As the times beside it: the page of a row would show the plain value of a method.
    return str(display_for_value(value, "-"))


def _are_elsewhere() -> bool:
    try:
        return app_settings.JWKS is not None
    except ImproperlyConfigured:
        # It is set, to something that cannot be used.
        return True
