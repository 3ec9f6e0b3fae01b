"""Requests from outside, as a client would send them: no redirect is followed, because clients do not follow it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import requests

from mcp_oidc.errors import InvalidRequest
from mcp_oidc.protocol.forms import parse_json_object

SECONDS = 10.0
MAX_BYTES = 256 * 1024


class Unreachable(Exception):
    """No answer came. The text says why, in the words of whatever failed."""


@dataclass(frozen=True)
class Reply:
    """An answer; the names of its headers are in small letters."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = field(default=b"", repr=False)

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    @property
    def is_redirect(self) -> bool:
        return 300 <= self.status < 400

    def json(self) -> dict[str, Any] | None:
        """The JSON object in it; None where there is none."""
        try:
            return parse_json_object(self.body, max_bytes=MAX_BYTES)
        except InvalidRequest:
            return None

    def text(self, name: str) -> str:
        """A member of its JSON object that is a string; empty where there is none."""
        value = (self.json() or {}).get(name)
        return value if isinstance(value, str) else ""


# ask(method, url, headers, body): the answer. Raises `Unreachable`.
Ask = Callable[[str, str, Mapping[str, str], bytes], Reply]


def network(*, proxy: str = "", ca_bundle: str = "") -> Ask:
    """Asks over the network; proxies and passwords of the environment do not count, as nowhere in mcp_oidc."""
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    session.verify = ca_bundle or True
    return partial(_ask, session)


def _ask(session: requests.Session, method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
    try:
        answer = session.request(
            method, url, headers=dict(headers), data=body, allow_redirects=False, stream=True, timeout=SECONDS
        )
        with answer:
            content = answer.raw.read(MAX_BYTES + 1, decode_content=True)
    except (requests.RequestException, OSError, ValueError) as failure:
        raise Unreachable(_in_words(failure, url)) from None
    return Reply(answer.status_code, {name.lower(): value for name, value in answer.headers.items()}, content)


def _in_words(failure: Exception, url: str) -> str:
    host = urlsplit(url).hostname
    if isinstance(failure, requests.exceptions.SSLError):
        return f"the certificate of {host} is not accepted: {_root_of(failure)}"
    if isinstance(failure, requests.Timeout):
        return f"{host} does not answer within {SECONDS:.0f} seconds"
    return f"{host} cannot be reached: {_root_of(failure)}"


def _root_of(failure: BaseException) -> str:
    reason = getattr(failure, "reason", None)
    inner = reason if isinstance(reason, BaseException) else failure.args[0] if failure.args else None
    if isinstance(inner, BaseException) and inner is not failure:
        return _root_of(inner)
    return str(failure)[:200]
