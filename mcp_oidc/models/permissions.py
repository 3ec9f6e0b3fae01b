"""What may be granted for a model in the admin."""

from __future__ import annotations

# Django's own, and one to take access away without changing anything else.
PERMISSIONS = ("add", "change", "delete", "view", "revoke")
