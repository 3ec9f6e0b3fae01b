"""MCP clients that follow the protocol: they ask again when an answer is lost, and log in again only if they must."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable
from typing import Any

from tests.factories import REDIRECT_URI
from tests.faults.exchanges import Answer, Log, Pending, post_form, post_json
from tests.faults.servers import Server
from tests.faults.site import Site

PING = {"jsonrpc": "2.0", "id": 1, "method": "ping"}


def register(site: Site, log: Log, *, method: str = "none") -> dict[str, Any]:
    """What a client is told that registers itself; `method` is how it authenticates."""
    document = {"client_name": "Faults", "redirect_uris": [REDIRECT_URI], "token_endpoint_auth_method": method}
    answer = post_json(log, site.servers[0], "/register", document).read()
    assert answer is not None
    assert answer.status == 201, answer.body
    told: dict[str, Any] = answer.document
    return told


class McpClient:
    """One client on one device of one user. A test may let it do single steps, or all that the protocol asks for."""

    def __init__(self, site: Site, log: Log, registration: dict[str, Any], *, user: str = "alice") -> None:
        self.site = site
        self.log = log
        self.registration = registration
        self.user = user
        # The protocol asks for one retry of what was not answered, or by an outage.
        self.tries = 2
        # How many it was given, of whatever kind.
        self.answers = 0
        self.code = ""
        self.verifier = ""
        self.connection = ""
        self.tokens: dict[str, Any] = {}

    def be_approved(self) -> None:
        """Get a code: the user approves the client anew."""
        held = self.site.backstage.ask("approve", self.registration["client_id"], self.site.resource, self.user)
        self.code, self.verifier, self.connection = held["code"], held["verifier"], held["connection"]
        self.log.secrets.update((self.code, self.verifier))

    def send_code(self, server: Server) -> Pending:
        """Ask for the first tokens."""
        sent = {"code": self.code, "redirect_uri": REDIRECT_URI, "code_verifier": self.verifier}
        return self._send(server, "/token", {"grant_type": "authorization_code", **sent})

    def send_refresh(self, server: Server) -> Pending:
        """Ask for the next tokens."""
        sent = {"grant_type": "refresh_token", "refresh_token": self.tokens["refresh_token"]}
        return self._send(server, "/token", sent)

    def send_revocation(self, server: Server, *, of: str = "refresh_token") -> Pending:
        """Give a token back."""
        return self._send(server, "/token/revocation", {"token": self.tokens[of]})

    def send_call(self, server: Server) -> Pending:
        """Call the protected endpoint."""
        return post_json(self.log, server, "/mcp/plain", PING, token=self.tokens["access_token"])

    def adopt(self, answer: Answer) -> None:
        """Go on with the tokens of an answer."""
        assert answer.status == 200, answer.body
        self.tokens = answer.document

    def log_in(self, server: Server) -> bool:
        """Redeem the code, and ask again while answers get lost. False if the code had been used up by one of them."""
        answer, tries = self._ask(self.send_code, server)
        if answer.status == 200:
            self.adopt(answer)
            return True
        if tries == 1 or answer.error != "invalid_grant":
            self._strand("the code", answer)
        return False

    def renew(self, server: Server) -> None:
        """Refresh, and ask again with the same token while answers get lost."""
        answer, _ = self._ask(self.send_refresh, server)
        if answer.status == 200:
            self.adopt(answer)
        else:
            self._strand("the refresh token", answer)

    def call(self, server: Server) -> int:
        """The status of a call."""
        answer, _ = self._ask(self.send_call, server)
        return answer.status

    def revoke(self, server: Server, *, of: str = "refresh_token") -> None:
        """Give a token back. From then on nothing of this connection may be taken."""
        answer, _ = self._ask(lambda where: self.send_revocation(where, of=of), server)
        assert answer.status == 200, answer.body
        self.is_revoked()

    def is_revoked(self) -> None:
        """Tell the log that the connection has ended by now."""
        self.log.revoked[self.connection] = time.monotonic()

    def _send(self, server: Server, path: str, params: dict[str, str]) -> Pending:
        secret = self.registration.get("client_secret")
        client_id = self.registration["client_id"]
        if secret is None:
            return post_form(self.log, server, path, {"client_id": client_id, **params})
        basic = base64.b64encode(f"{client_id}:{secret}".encode()).decode()
        return post_form(self.log, server, path, params, {"Authorization": f"Basic {basic}"})

    def _ask(self, send: Callable[[Server], Pending], server: Server) -> tuple[Answer, int]:
        """The first answer, from this server or the other in turn, and how often it was asked for."""
        for tries in range(1, self.tries + 1):
            answer = send(server).read()
            if answer is not None and answer.status != 503:
                self.answers += 1
                return answer, tries
            if answer is not None:
                time.sleep(float(answer.headers["retry-after"]))
            server = self.site.other(server)
        raise AssertionError(f"no server answered, asked {self.tries} times")

    def _strand(self, what: str, answer: Answer) -> None:
        self.log.stranded.append(f"{what} of {self.connection} is refused: {answer.status} {answer.error}")
