"""Signing keys that live in the database, for servers without `JWKS` in the environment."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from mcp_oidc.models.managers import PrimaryManager


class SigningKey(models.Model):
    """One key. Its private half is encrypted.

    The last one that is due signs, and all verify: a key is published at once and signs later, and the one before it
    stays published for as long as its tokens live. No state is stored, so nothing has to happen at the right moment.
    """

    kid = models.CharField(_("key id"), max_length=128, unique=True)
    algorithm = models.CharField(_("algorithm"), max_length=16)
    public_jwk = models.JSONField(_("public key"))
    payload = models.TextField(editable=False)
    # The kid of the key before it, empty for the first. Unique, so that processes that make a key at the same moment
    # agree on one.
    follows = models.CharField(_("follows"), max_length=128, unique=True, blank=True)
    created_at = models.DateTimeField(_("created"))
    activates_at = models.DateTimeField(_("signs from"))

    objects = PrimaryManager["SigningKey"]()

    class Meta:
        verbose_name = _("signing key")
        verbose_name_plural = _("signing keys")

    def __str__(self) -> str:
        return self.kid
