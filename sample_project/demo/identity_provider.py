"""The demo's identity provider: a real OpenID provider with two users who log in by name."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from sample_project.demo.processes import running

USERS = (
    {"sub": "alice", "name": "Alice Demo", "email": "alice@example.com", "email_verified": True},
    {"sub": "bob", "name": "Bob Demo", "email": "bob@example.com", "email_verified": True},
)


@contextmanager
def embedded_identity_provider(port: int) -> Iterator[str]:
    """Serve it on loopback and yield its issuer."""
    # It warns of its own library's plans, which are nobody's concern here.
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port)]
    users = [argument for user in USERS for argument in ("--user-claims", json.dumps(user))]
    # Its library insists on https otherwise; this one never leaves the machine.
    with running([*command, *users], port=port, environment={"AUTHLIB_INSECURE_TRANSPORT": "1"}, quiet=True):
        yield f"http://localhost:{port}"
