"""Tallies: how often something happened in an hour, so that nobody has to count events."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class HourlyCount(models.Model):
    """How often `kind` ended with `outcome` in one hour, in all processes. Written beside the requests."""

    # A number, not a time: no zone of a database or project moves it.
    hour = models.PositiveIntegerField(_("hours since 1970, in UTC"))
    kind = models.CharField(_("kind"), max_length=64)
    outcome = models.CharField(_("outcome"), max_length=32)
    count = models.PositiveBigIntegerField(_("count"), default=0)

    class Meta:
        verbose_name = _("hourly count")
        verbose_name_plural = _("hourly counts")
        constraints = [models.UniqueConstraint(fields=["hour", "kind", "outcome"], name="mcp_oidc_hourly_count")]

    def __str__(self) -> str:
        return f"{self.kind} {self.outcome}: {self.count}"
