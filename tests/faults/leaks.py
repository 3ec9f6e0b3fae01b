"""Whether a text holds a secret: a log, or the dump of a database."""

from __future__ import annotations

from collections.abc import Iterable

# The end of a token is the part that nobody can guess, and a part of it is already a leak.
TAIL = 20


def leaked(text: bytes, secrets: Iterable[bytes]) -> list[bytes]:
    """Beginnings of those secrets whose end stands anywhere in `text`."""
    tails = {secret[-TAIL:]: secret for secret in secrets}
    assert all(len(tail) == TAIL for tail in tails), "a secret is too short to be looked for"
    windows = (text[start : start + TAIL] for start in range(len(text) - TAIL + 1))
    return sorted({tails[window][:8] for window in windows if window in tails})
