"""A client model with a column that ours has not."""

from __future__ import annotations

from django.db import models

from mcp_oidc.models import AbstractClient


class DepartmentClient(AbstractClient):
    """A client that belongs to a department."""

    department = models.CharField(max_length=64, blank=True, default="")

    class Meta(AbstractClient.Meta):
        abstract = False
