"""The dashboard, as a model without rows: the admin's index, its sidebar and its permissions are made of models."""

from __future__ import annotations

from django.utils.translation import gettext_lazy as _

from mcp_oidc.models.events import Event


class Dashboard(Event):
    """Whoever has its one permission may look at the dashboard."""

    # A proxy, not an unmanaged model: `dumpdata` would look for the table of that.
    class Meta:
        proxy = True
        default_permissions = ("view",)
        verbose_name = _("dashboard")
        verbose_name_plural = _("dashboard")
