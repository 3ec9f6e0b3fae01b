"""How `RemoteVerifier` asks its issuer. Plain Python."""

from __future__ import annotations

import base64
import os
from collections.abc import Callable, Mapping
from functools import lru_cache
from urllib.parse import quote_plus

from mcp_oidc.errors import UpstreamError
from mcp_oidc.upstream.http import HttpClient

# `http(url)` gets, `http(url, form=..., headers=...)` posts. It returns the body of a 200 answer, or raises `OSError`:
# `PermissionError` for 401 and 403, `BadRequest` for 400.
Http = Callable[..., bytes]


class BadRequest(OSError):
    """The issuer answered 400; `body` says why."""

    def __init__(self, body: bytes = b"") -> None:
        super().__init__("the issuer answered 400")
        self.body = body


def make_http() -> Http:
    """HTTP of our own, bounded in time and size, whose calls do not wait for those of others."""

    # By process: after a fork, parent and child must not talk over the same connection.
    @lru_cache(maxsize=1)
    def client_of(pid: int) -> HttpClient:
        return HttpClient()

    def send(url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None) -> bytes:
        client = client_of(os.getpid())
        try:
            answer = client.get(url) if form is None else client.post(url, form, headers=headers or {})
        except UpstreamError as error:
            raise OSError(str(error)) from None
        if answer.status in (401, 403):
            raise PermissionError(f"{answer.where} answered {answer.status}")
        if answer.status == 400:
            raise BadRequest(answer.body)
        if answer.status != 200:
            raise OSError(f"{answer.where} answered {answer.status}")
        return answer.body

    return send


def headers_for(client_id: str, client_secret: str) -> dict[str, str]:
    """The headers of a request that the client proves itself in."""
    # RFC 6749 2.3.1: each of them form encoded first.
    credentials = f"{quote_plus(client_id)}:{quote_plus(client_secret)}"
    return {
        "Authorization": "Basic " + base64.b64encode(credentials.encode()).decode(),
        "Accept": "application/json",
    }
