"""What a client holds of a user, and whether that still opens anything."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from django.test import Client as Browser

from mcp_oidc.models import AbstractClient
from tests.server.authorizations import approve, code_params, json_of, post_form, redeem, refresh_params

DEAD = (400, "invalid_grant")
# To a client that is not there any more, nothing is said of its tokens.
UNKNOWN = (401, "invalid_client")


@dataclass(frozen=True)
class Grant:
    """One client's tokens of one user, and a code that it has not redeemed yet."""

    client: AbstractClient
    tokens: Mapping[str, Any]
    code: str

    def call(self) -> int:
        """The status of a call of the MCP endpoint."""
        headers = {"Authorization": f"Bearer {self.tokens['access_token']}"}
        return Browser().post("/mcp", headers=headers).status_code

    def require_dead(self, *, as_told: tuple[int, str] = DEAD) -> None:
        """Everything is refused, and the client is told what it can act on."""
        assert self.call() == 401
        status, error = as_told
        for params in (refresh_params(self.client, self.tokens), code_params(self.client, self.code)):
            assert json_of(post_form("/token", params), status)["error"] == error

    def require_alive(self) -> None:
        """Everything works. The code is used up by it."""
        assert self.call() == 200
        json_of(post_form("/token", refresh_params(self.client, self.tokens)), 200)
        json_of(post_form("/token", code_params(self.client, self.code)), 200)


def grant(browser: Browser, client: AbstractClient) -> Grant:
    """What `client` gets when the person at `browser` approves it twice, on two devices."""
    return Grant(client, redeem(browser, client), approve(browser, client)["code"])
