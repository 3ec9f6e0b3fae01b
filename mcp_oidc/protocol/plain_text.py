"""Text that came from outside, unable to disturb what stands beside it."""

from __future__ import annotations

import re

# Characters that turn the direction of the text that follows, so that a name could rewrite the line it stands in.
_DIRECTION = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def cut(text: str, limit: int = 40) -> str:
    """At most `limit` characters of `text`, in the direction of the script that they are written in."""
    text = _DIRECTION.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"
