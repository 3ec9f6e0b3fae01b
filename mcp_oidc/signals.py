"""Signals for projects: each is sent once what it tells has been committed."""

from __future__ import annotations

from django.dispatch import Signal

# Sent with `event` (kind, user, client, connection_id, outcome, reason) for everything that the audit records.
event_recorded = Signal()

# The events that most projects ask for, each with its `event`, too.
login_succeeded = Signal()
login_refused = Signal()
client_registered = Signal()
connection_approved = Signal()

# Sent with `connection_id`, `user_id`, `client_id` and `reason`: its tokens are dead from this moment.
connection_revoked = Signal()
