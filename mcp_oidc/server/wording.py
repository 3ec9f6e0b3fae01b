"""What pages say of clients and of what they may do, in words that cannot be forged."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from django.utils.translation import gettext as _

from mcp_oidc.conf import app_settings
from mcp_oidc.core.clients import is_trusted
from mcp_oidc.protocol.uris import host_of, is_local, is_loopback
from mcp_oidc.upstream.session import Login

if TYPE_CHECKING:
    from mcp_oidc.models import AbstractClient

MAX_NAME_LENGTH = 80
# Hangul fillers and the empty Braille pattern: letters and symbols to Unicode, nothing to the eye.
_BLANK_LETTERS = frozenset("\u115f\u1160\u3164\uffa0\u2800")


@dataclass(frozen=True)
class Appearance:
    """A client as a person sees it. Only `host` is proven, and whether an operator trusts it is ours to say."""

    name: str
    host: str
    is_trusted: bool


@dataclass(frozen=True)
class Destination:
    """Where the answers to a client go. `place` is whole: a long name that is cut could hide whose host it is."""

    # Its letters are ASCII, see protocol.uris.
    place: str
    is_loopback: bool
    is_private_scheme: bool


def appearance_of(client: AbstractClient) -> Appearance:
    """What a page may say of `client`."""
    return Appearance(name_of(client), document_host(client), is_trusted(client))


def name_of(client: AbstractClient) -> str:
    """What a client calls itself."""
    return visible(client.name) or _("An app without a name")


def document_host(client: AbstractClient) -> str:
    """The host of the document that the client is described in: alone of all it says, this is proven."""
    # No id that we give out is a URL.
    return host_of(client.client_id) if client.client_id.startswith("https://") else ""


def destination_of(redirect_uri: str) -> Destination:
    """Where an answer to this redirect URI goes."""
    loopback = is_loopback(redirect_uri)
    return Destination(host_of(redirect_uri), loopback, is_private_scheme=is_local(redirect_uri) and not loopback)


def sentences(scopes: Iterable[str]) -> list[str]:
    """What a client may do with `scopes`, and with what they imply: nothing that is allowed goes without saying."""
    return [sentence(scope) for scope in app_settings.with_implied(scopes) if scope != "openid"]


def sentence(scope: str) -> str:
    """What a client may do with `scope`."""
    standard = {
        "profile": _("See your name and profile"),
        "email": _("See your e-mail address"),
    }
    return str(app_settings.SCOPES.get(scope) or standard.get(scope) or scope)


def user_name(login: Login) -> str:
    """Who is logged in, as the person knows themselves."""
    claims = login.identity.claims
    return visible(str(claims.get("email") or claims.get("name") or login.user.get_username()))


def visible(text: str) -> str:
    """`text` with everything that hides, reorders or overlays replaced by its code point, and cut to a sane length."""
    # Composed first, so that an accent is part of its letter and not a mark that could be stacked.
    text = unicodedata.normalize("NFC", text)
    shown = "".join(char if _is_plain(char) else _code_point(char) for char in text[:MAX_NAME_LENGTH])
    return shown + "\N{HORIZONTAL ELLIPSIS}" if len(text) > MAX_NAME_LENGTH else shown


def _is_plain(char: str) -> bool:
    # Control, format (bidi, zero-width), surrogate, private use, unassigned; spaces of other widths; combining marks.
    is_shown = unicodedata.category(char)[0] not in "CZM" and char not in _BLANK_LETTERS
    return char == " " or is_shown


def _code_point(char: str) -> str:
    return f"\N{MATHEMATICAL LEFT ANGLE BRACKET}U+{ord(char):04X}\N{MATHEMATICAL RIGHT ANGLE BRACKET}"
