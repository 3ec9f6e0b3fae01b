"""Consents: what a user approved, and what "remember" remembers."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from mcp_oidc.models.clients import CLIENT_MODEL
from mcp_oidc.models.managers import PrimaryManager
from mcp_oidc.models.permissions import PERMISSIONS


class Consent(models.Model):
    """A user's approval of a client, at one redirect URI and one resource."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mcp_consents", verbose_name=_("user")
    )
    client = models.ForeignKey(
        CLIENT_MODEL, on_delete=models.CASCADE, related_name="consents", verbose_name=_("client")
    )
    redirect_uri = models.TextField(_("redirect URI"))
    resource = models.TextField(_("resource"))
    # Hash of redirect URI and resource: neither fits a unique index on MariaDB, which would ignore case besides.
    fingerprint = models.CharField(max_length=64, editable=False)
    scopes = models.TextField(_("scopes"), blank=True, default="")
    approved_at = models.DateTimeField(_("approved"))

    objects = PrimaryManager["Consent"]()

    class Meta:
        default_permissions = PERMISSIONS
        verbose_name = _("consent")
        verbose_name_plural = _("consents")
        constraints = [
            models.UniqueConstraint(fields=["user", "client", "fingerprint"], name="mcp_oidc_consent_unique"),
        ]

    def __str__(self) -> str:
        return f"{self.user_id} / {self.client_id}"
