"""The audit: one row for each decision."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.utils.translation import gettext_lazy as _

from mcp_oidc.models.clients import CLIENT_MODEL


class Event(models.Model):
    """Who, what, when and with which outcome. Written in the transaction of what it tells, and never changed."""

    created_at = models.DateTimeField(_("time"), db_index=True)
    kind = models.CharField(_("kind"), max_length=64)
    outcome = models.CharField(_("outcome"), max_length=16)
    reason = models.CharField(_("reason"), max_length=255, blank=True, default="")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.SET_NULL,
        null=True,
        blank=True,
        related_name="+",
        verbose_name=_("user"),
    )
    client = models.ForeignKey(
        CLIENT_MODEL, on_delete=models.SET_NULL, null=True, blank=True, related_name="+", verbose_name=_("client")
    )
    # Not foreign keys: the audit outlives what it tells of.
    connection_id = models.UUIDField(_("connection"), null=True, blank=True, db_index=True)
    subject = models.CharField(_("subject"), max_length=255, blank=True, default="")
    client_name = models.CharField(_("client name"), max_length=255, blank=True, default="")
    address = models.GenericIPAddressField(_("address"), null=True, blank=True)
    agent = models.CharField(_("agent"), max_length=255, blank=True, default="")
    detail = models.JSONField(_("detail"), default=dict, blank=True)

    class Meta:
        verbose_name = _("event")
        verbose_name_plural = _("events")
        indexes = [
            models.Index(fields=["kind", "created_at"], name="mcp_oidc_event_kind"),
            models.Index(fields=["user", "created_at"], name="mcp_oidc_event_user"),
            models.Index(fields=["client", "created_at"], name="mcp_oidc_event_client"),
            models.Index(fields=["outcome", "created_at"], name="mcp_oidc_event_outcome"),
            models.Index(fields=["address", "created_at"], name="mcp_oidc_event_address"),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.outcome}"
