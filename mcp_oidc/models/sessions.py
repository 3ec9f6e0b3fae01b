"""Logins at the IdP that a browser still has, so that they can be ended from elsewhere."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _

from mcp_oidc.models.identities import Identity
from mcp_oidc.models.managers import PrimaryManager
from mcp_oidc.models.permissions import PERMISSIONS


class LoginSession(models.Model):
    """A login at the IdP, and the Django session that stands for it. That session holds this row's key, and counts as
    a login at the IdP only while the row is there and has not ended.
    """

    identity = models.ForeignKey(
        Identity, on_delete=models.CASCADE, related_name="login_sessions", verbose_name=_("identity")
    )
    # Hash of provider, issuer and the IdP's `sid`; empty where it gave none.
    idp_session = models.CharField(max_length=64, blank=True, default="", db_index=True, editable=False)
    # Encrypted: the key of the Django session.
    payload = models.TextField(editable=False)
    authenticated_at = models.DateTimeField(_("logged in"))
    created_at = models.DateTimeField(_("created"))
    last_seen_at = models.DateTimeField(_("last seen"))
    expires_at = models.DateTimeField(_("expires"), db_index=True)
    # Set while the Django session has yet to be deleted; then the row goes, too.
    ended_at = models.DateTimeField(_("ended"), null=True, blank=True, editable=False)

    objects = PrimaryManager["LoginSession"]()

    class Meta:
        default_permissions = PERMISSIONS
        verbose_name = _("login session")
        verbose_name_plural = _("login sessions")

    def __str__(self) -> str:
        return f"#{self.pk}"
