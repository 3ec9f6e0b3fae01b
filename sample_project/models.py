"""What the sample's tools work on."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class Note(models.Model):
    """A note of a user's."""

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    text = models.TextField()
    created_at = models.DateTimeField(auto_now_add=True)

    def __str__(self) -> str:
        return self.text[:50]
