"""What the demo keeps beside its database, so that a second run can read what the first one wrote."""

from __future__ import annotations

import json
import os
import secrets
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True)
class DemoSecrets:
    """Made at the first run."""

    session_secret: str
    admin_password: str


def load_secrets(path: Path) -> DemoSecrets:
    """Read them, or make them, for the owner's eyes only."""
    if path.exists():
        return DemoSecrets(**json.loads(path.read_text()))
    made = DemoSecrets(session_secret=secrets.token_urlsafe(48), admin_password=secrets.token_urlsafe(9))
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        json.dump(asdict(made), file)
    return made
