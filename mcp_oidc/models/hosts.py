"""Hosts of clients that an operator trusts or blocks."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class ClientHost(models.Model):
    """A host that clients are known by: of their metadata documents or redirect URIs. Without a row it is neither."""

    class Trust(models.TextChoices):
        TRUSTED = "trusted", _("trusted")
        BLOCKED = "blocked", _("blocked")

    host = models.CharField(_("host"), max_length=255, unique=True)
    trust = models.CharField(_("trust"), max_length=16, choices=Trust.choices)
    note = models.CharField(_("note"), max_length=255, blank=True, default="")
    decided_at = models.DateTimeField(_("decided"), auto_now=True)

    class Meta:
        verbose_name = _("client host")
        verbose_name_plural = _("client hosts")

    def __str__(self) -> str:
        return self.host
