"""Identities at the IdP, the token sets that belong to them, and logins that are under way."""

from __future__ import annotations

import uuid

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from mcp_oidc.models.managers import PrimaryManager
from mcp_oidc.models.permissions import PERMISSIONS
from mcp_oidc.protocol.plain_text import cut


class Identity(models.Model):
    """A user as one issuer knows them: the pair (issuer, `sub`) and never an e-mail address."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="mcp_identities", verbose_name=_("user")
    )
    # `sub` of our own tokens: stable, opaque, and not the IdP's.
    subject = models.UUIDField(_("subject"), unique=True, default=uuid.uuid4, editable=False)
    provider = models.CharField(_("provider"), max_length=64)
    issuer = models.CharField(_("issuer"), max_length=500)
    sub = models.CharField(_("sub at the issuer"), max_length=500)
    # Hash of provider, issuer and sub: MariaDB compares text without regard to case, and `sub` has case.
    fingerprint = models.CharField(max_length=64, unique=True, editable=False)
    claims = models.JSONField(_("claims"), default=dict, blank=True)
    custom_data = models.JSONField(_("custom data"), default=dict, blank=True)
    created_at = models.DateTimeField(_("created"))
    last_login_at = models.DateTimeField(_("last login"), null=True, blank=True)

    objects = PrimaryManager["Identity"]()

    class Meta:
        default_permissions = PERMISSIONS
        verbose_name = _("identity")
        verbose_name_plural = _("identities")

    def __str__(self) -> str:
        return cut(f"{self.sub} @ {self.issuer}", 200)


class IdpTokenSet(models.Model):
    """The IdP's tokens of an identity. `payload` is encrypted; nothing usable stands here in clear."""

    identity = models.OneToOneField(
        Identity, on_delete=models.CASCADE, related_name="token_set", verbose_name=_("identity")
    )
    payload = models.TextField(editable=False)
    scopes = models.TextField(_("scopes"), blank=True, default="")
    has_refresh_token = models.BooleanField(_("has a refresh token"), default=False)
    obtained_at = models.DateTimeField(_("obtained"))
    # Empty where the IdP gave no `expires_in`.
    expires_at = models.DateTimeField(_("expires"), null=True, blank=True)
    # Counts refreshes, so that one is never written over a newer one.
    version = models.PositiveBigIntegerField(_("version"), default=1)
    # Who refreshes holds the lease; a process that died with it is waited for until then and no longer.
    lease_expires_at = models.DateTimeField(null=True, blank=True, editable=False)

    objects = PrimaryManager["IdpTokenSet"]()

    class Meta:
        verbose_name = _("IdP token set")
        verbose_name_plural = _("IdP token sets")

    def __str__(self) -> str:
        return f"#{self.pk}"


class LoginAttempt(models.Model):
    """A login under way at the IdP: one row each, so that two tabs do not overwrite each other and the authorization
    request that it interrupts need not travel through the IdP or the session cookie. It is deleted when it is used.
    """

    # Hash of `state`; the state itself, with the browser's own secret, is all that leaves this server.
    state_hash = models.CharField(primary_key=True, max_length=64, editable=False)
    # Hash of the secret in the cookie of the browser that began it.
    browser_hash = models.CharField(max_length=64, editable=False)
    provider = models.CharField(max_length=64)
    # Encrypted: nonce, PKCE verifier, and where to go afterwards.
    payload = models.TextField(editable=False)
    expires_at = models.DateTimeField(db_index=True)

    objects = PrimaryManager["LoginAttempt"]()

    class Meta:
        verbose_name = _("login under way")
        verbose_name_plural = _("logins under way")

    def __str__(self) -> str:
        return f"{self.provider} until {self.expires_at}"
