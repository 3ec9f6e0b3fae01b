"""Client assertions and logout tokens that were used, so that none is taken twice."""

from __future__ import annotations

from django.db import models
from django.utils.translation import gettext_lazy as _


class UsedAssertion(models.Model):
    """The hash of a `jti` and of who signed it: a client (RFC 7523 3), or the IdP (Back-Channel Logout 1.0 2.6)."""

    jti_hash = models.CharField(primary_key=True, max_length=64, editable=False)
    # From then on it is refused for its age, and the row can go.
    expires_at = models.DateTimeField(_("expires"), db_index=True)

    class Meta:
        verbose_name = _("used assertion")
        verbose_name_plural = _("used assertions")

    def __str__(self) -> str:
        return self.jti_hash
