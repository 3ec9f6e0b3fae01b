"""How text that came from outside is shown: short, in one piece, and unable to disturb what stands beside it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _

from mcp_oidc.protocol.plain_text import cut
from mcp_oidc.protocol.uris import is_loopback

__all__ = ["cut", "lines", "pretty_json", "redirect_kinds"]


def lines(text: str, limit: int = 2000) -> SafeString:
    """The words of `text`, one a line."""
    return _block("\n".join(text.split()), limit)


def grouped(number: int) -> str:
    """A number that may be a large one, with its thousands set apart."""
    return str(number_format(number, force_grouping=True))


def pretty_json(value: Any, limit: int = 5000) -> SafeString:
    """JSON, indented."""
    return _block(json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False), limit)


def redirect_kinds(uris: str) -> str:
    """Where the answers to a client go: to the device, to an app that has a scheme of its own, or to a website."""
    return ", ".join(dict.fromkeys(_kind(uri) for uri in sorted(uris.split())))


def _kind(uri: str) -> str:
    if is_loopback(uri):
        return _("loopback")
    scheme = urlsplit(uri).scheme
    return _("website") if scheme in ("http", "https") else _("scheme %(name)s") % {"name": cut(scheme, 20)}


def _block(text: str, limit: int) -> SafeString:
    return format_html('<pre class="mcp-text">{}</pre>', cut(text, limit)) if text else SafeString("")
