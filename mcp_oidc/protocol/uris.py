"""URIs: which redirect URIs may be registered, which registered one a request means, and how answers are added to one.

One validator serves registration and authorization (RFC 6749 3.1.2, RFC 8252 7, RFC 9700 2.1 and 4.1).
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Mapping
from urllib.parse import SplitResult, quote, urlencode, urlsplit

MAX_URI_LENGTH = 2000
LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})

# Schemes that a browser runs, opens locally or renders as our own origin: never a redirect, whatever a project says.
DANGEROUS_SCHEMES = frozenset(
    "about blob chrome chrome-extension content data file filesystem ftp intent jar javascript livescript mailto "  # noqa: SIM905  # shorter than a line each
    "mhtml moz-extension mocha ms-appx ms-its res resource sms tel vbscript view-source ws wss".split()
)

# RFC 3986's characters, less `#` (RFC 6749 3.1.2: no fragment) and `*`, which no client means literally.
_URI = re.compile(r"[A-Za-z0-9\-._~:/?\[\]@!$&'()+,;=%]+")
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*")
_HOST = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?:\.[a-z0-9_-]{1,63})*\.?|\[[0-9a-f:.]+\]")
# WHATWG URL, "ends in a number": a browser takes 0x7f.1 or 2130706433 for an address that nobody reads in it.
_ENDS_IN_NUMBER = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)\.?")


def check_redirect_uri(uri: object, private_schemes: Collection[str]) -> str:
    """Return `uri` if a client may register it and be sent to it.

    Allowed are https, http on a loopback host, and the private-use schemes given. Raises `ValueError` with the reason.
    """
    parts = _split(uri)
    scheme = parts.scheme.lower()
    if scheme in DANGEROUS_SCHEMES:
        raise ValueError(f"the scheme {scheme} is not allowed")
    # RFC 3986 3.2.2: brackets only hold an address. oauthlib refuses others, when it is too late.
    if "[" in parts.path + parts.query or "]" in parts.path + parts.query:
        raise ValueError("it contains a bracket outside its host")
    if scheme in ("http", "https"):
        _require_web_host(parts)
        return str(uri)
    if scheme not in private_schemes:
        raise ValueError(f"the scheme {scheme} is not one that this server allows")
    if not parts.netloc and not parts.path:
        raise ValueError("it has neither a host nor a path")
    if parts.netloc:
        _require_host(parts)
    return str(uri)


def is_redirect_match(registered: str, presented: str) -> bool:
    """Whether `presented` is the registered URI: character for character, or on another port of the same loopback host.

    RFC 8252 7.3 demands any port for loopback IP literals; clients in the field need it for `localhost` too. The host
    itself must be the one registered, and so must path and query.
    """
    if registered == presented:
        return True
    try:
        # As strict as registration: in `http://evil.example\\@localhost/` urlsplit sees localhost, a browser does not.
        is_local = all(_split(uri) and is_loopback(uri) for uri in (registered, presented))
    except ValueError:
        return False
    return is_local and without_port(registered) == without_port(presented)


def is_loopback(uri: str) -> bool:
    """Whether `uri` is http on this very machine, as far as its text tells."""
    parts = urlsplit(uri)
    return parts.scheme == "http" and parts.hostname in LOOPBACK_HOSTS


def is_local(uri: str) -> bool:
    """Whether `uri` leads to a program on the device, and any other there could answer in its place (RFC 8252 8.6)."""
    return is_loopback(uri) or urlsplit(uri).scheme not in ("http", "https")


def without_port(uri: str) -> str:
    """`uri` as consent remembers it: a loopback client comes from another port at each run."""
    if not is_loopback(uri):
        return uri
    parts = urlsplit(uri)
    return uri.replace(parts.netloc, parts.netloc.removesuffix(f":{parts.port}"), 1)


def origin_of(uri: str) -> str:
    """Scheme, host and port of `uri`, as a browser writes an Origin header."""
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc}"


def host_of(uri: str) -> str:
    """The host of `uri` for people to read, or the scheme of a private-use one, where any host is only a name."""
    parts = urlsplit(uri)
    return parts.hostname or "" if parts.scheme in ("http", "https") else parts.scheme


def with_params(uri: str, params: Mapping[str, str]) -> str:
    """`uri` with `params` added to its query, the rest of it untouched (RFC 6749 4.1.2)."""
    # quote, not quote_plus: a private-use handler need not know that "+" means a space.
    query = urlencode(params, quote_via=quote)
    separator = "&" if "?" in uri else "?"
    return f"{uri}{separator}{query}"


def check_web_uri(uri: object) -> str:
    """Return `uri` if it is an http(s) URL that can be shown to a person as a link. Raises `ValueError`."""
    parts = _split(uri)
    if parts.scheme.lower() not in ("http", "https"):
        raise ValueError("it must be an http or https URL")
    _require_host(parts)
    return str(uri)


def _split(uri: object) -> SplitResult:
    if not isinstance(uri, str) or not uri:
        raise ValueError("it must be a string")
    if len(uri) > MAX_URI_LENGTH:
        raise ValueError(f"it is longer than {MAX_URI_LENGTH} characters")
    # Before urlsplit, which silently drops tabs and newlines.
    if "#" in uri:
        raise ValueError("it must not contain a fragment")
    if not _URI.fullmatch(uri) or _BAD_ESCAPE.search(uri):
        raise ValueError("it contains a character that a URI cannot hold, or a wildcard")
    try:
        parts = urlsplit(uri)
        port = parts.port
    except ValueError:
        raise ValueError("it is not a URI") from None
    if not _SCHEME.fullmatch(parts.scheme):
        raise ValueError("it must be an absolute URI")
    if "@" in parts.netloc:
        raise ValueError("it must not contain a user name or password")
    if port == 0 or parts.netloc.endswith(":"):
        raise ValueError("its port is not one")
    return parts


def _require_web_host(parts: SplitResult) -> None:
    _require_host(parts)
    if parts.scheme.lower() == "http" and parts.hostname not in LOOPBACK_HOSTS:
        raise ValueError("http is only allowed for localhost, 127.0.0.1 and [::1]")


def _require_host(parts: SplitResult) -> None:
    host = parts.netloc.lower().removesuffix(f":{parts.port}")
    if not parts.hostname or not _HOST.fullmatch(host):
        raise ValueError("its host is not one")
    if _ENDS_IN_NUMBER.fullmatch(host) and not _is_ipv4(host):
        raise ValueError("its host is an address in an unusual form")


def _is_ipv4(host: str) -> bool:
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return True
