"""How text that came from outside is shown: short, in one piece, and unable to disturb what stands beside it."""

from __future__ import annotations

import json
import re
from typing import Any

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

# Characters that turn the direction of the text that follows, so that a name could rewrite the line it stands in.
_DIRECTION = re.compile("[\u202a-\u202e\u2066-\u2069]")


def cut(text: str, limit: int = 40) -> str:
    """At most `limit` characters of `text`."""
    text = _DIRECTION.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= limit else text[: limit - 1] + "…"


def lines(text: str, limit: int = 2000) -> str:
    """The words of `text`, one a line."""
    return cut("\n".join(text.split()), limit)


def grouped(number: int) -> str:
    """A number that may be a large one, with its thousands set apart."""
    return str(number_format(number, force_grouping=True))


def pretty_json(value: Any, limit: int = 5000) -> SafeString:
    """JSON, indented."""
    text = json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False)
    return format_html('<pre style="white-space: pre-wrap">{}</pre>', cut(text, limit))
