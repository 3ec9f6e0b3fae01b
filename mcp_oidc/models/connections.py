"""Connections: one for each authorization, and all that codes and tokens are derived from."""

from __future__ import annotations

import secrets
import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from mcp_oidc.models.clients import CLIENT_MODEL
from mcp_oidc.models.identities import Identity
from mcp_oidc.models.managers import PrimaryManager
from mcp_oidc.models.permissions import PERMISSIONS


def new_salt() -> str:
    """128 random bits that no token can be computed without."""
    return secrets.token_hex(16)


class Connection(models.Model):
    """One user's authorization of one client on one device, for one resource.

    `generation` counts what was issued: 0 is the authorization code, 1 the first pair of tokens, and each refresh adds
    one. It moves by conditional updates only.
    """

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    client = models.ForeignKey(
        CLIENT_MODEL, on_delete=models.CASCADE, related_name="connections", verbose_name=_("client")
    )
    # Empty for a machine client, which acts for itself.
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="mcp_connections",
        verbose_name=_("user"),
    )
    identity = models.ForeignKey(
        Identity,
        on_delete=models.CASCADE,
        null=True,
        blank=True,
        related_name="connections",
        verbose_name=_("identity"),
    )
    # A copy of the identity's, so that verification needs no further table.
    subject = models.CharField(_("subject"), max_length=255)
    device_name = models.CharField(_("device"), max_length=255, blank=True, default="")

    resource = models.CharField(_("resource"), max_length=1000)
    scopes = models.TextField(_("scopes"), blank=True, default="")
    salt = models.CharField(max_length=32, default=new_salt, editable=False)

    # What the code is bound to.
    redirect_uri = models.TextField(_("redirect URI"), blank=True, default="")
    # Whether the authorization request named it: then the token request has to, too (RFC 6749 4.1.3).
    redirect_uri_sent = models.BooleanField(default=True, editable=False)
    code_challenge = models.CharField(max_length=128, blank=True, default="", editable=False)
    nonce = models.TextField(blank=True, default="", editable=False)
    code_expires_at = models.DateTimeField(null=True, blank=True, editable=False)
    authenticated_at = models.DateTimeField(_("logged in"), null=True, blank=True)

    generation = models.PositiveBigIntegerField(_("generation"), default=0)
    # The highest generation whose tokens were seen in use.
    seen_generation = models.PositiveBigIntegerField(default=0, editable=False)
    # When the present generation was issued, and the one before it.
    rotated_at = models.DateTimeField(_("last refresh"), null=True, blank=True, editable=False)
    previous_rotated_at = models.DateTimeField(null=True, blank=True, editable=False)
    # Thumbprint of the key that tokens are bound to (RFC 9449).
    dpop_thumbprint = models.CharField(max_length=64, blank=True, default="", editable=False)
    # Of the login that it was approved in, as a LoginSession has it: hash of the IdP's `sid`, for back-channel logout.
    idp_session = models.CharField(max_length=64, blank=True, default="", db_index=True, editable=False)

    created_at = models.DateTimeField(_("created"))
    last_used_at = models.DateTimeField(_("last used"))
    expires_at = models.DateTimeField(_("expires"), db_index=True)
    revoked_at = models.DateTimeField(_("revoked"), null=True, blank=True)
    revoked_reason = models.CharField(_("reason"), max_length=64, blank=True, default="")

    objects = PrimaryManager["Connection"]()

    class Meta:
        default_permissions = PERMISSIONS
        verbose_name = _("connection")
        verbose_name_plural = _("connections (tokens)")
        indexes = [
            models.Index(fields=["user", "revoked_at"], name="mcp_oidc_conn_user"),
            # With all that it takes to count the users of a client that everybody has.
            models.Index(fields=["client", "revoked_at", "expires_at", "user"], name="mcp_oidc_conn_living"),
        ]

    def __str__(self) -> str:
        return str(self.id)
