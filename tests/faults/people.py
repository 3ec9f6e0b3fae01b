"""People with a browser: what they see and press, one set of cookies for both servers, as behind a load balancer."""

from __future__ import annotations

import re
from http.cookies import SimpleCookie
from urllib.parse import parse_qs, urlencode, urlsplit

from mcp_oidc.protocol import pkce
from mcp_oidc.protocol.opaque_tokens import parse_token
from tests.factories import REDIRECT_URI
from tests.faults.clients import McpClient
from tests.faults.exchanges import Answer, Pending, get, post_form
from tests.faults.middlewares import HOLD
from tests.faults.servers import Server


class Person:
    """Somebody who is logged in and asked to approve a client. `path` is where its authorization request led."""

    def __init__(self, client: McpClient) -> None:
        self.client = client
        self.log = client.log
        self.cookies: dict[str, str] = client.site.backstage.ask("log_in", client.user)
        self.log.secrets.update(self.cookies.values())
        self.path = ""

    def be_asked(self) -> None:
        """Come from the client with a new authorization request."""
        self.client.verifier = pkce.new_verifier()
        self.log.secrets.add(self.client.verifier)
        request = {
            "response_type": "code",
            "client_id": self.client.registration["client_id"],
            "redirect_uri": REDIRECT_URI,
            "scope": "openid mcp",
            "state": pkce.new_verifier(),
            "resource": self.client.site.resource,
            "code_challenge": pkce.challenge_for(self.client.verifier),
            "code_challenge_method": "S256",
        }
        self.path = f"/authorize?{urlencode(request)}"

    def open(self, server: Server) -> Answer:
        """Load the consent page."""
        page = get(self.log, server, self.path, {"Cookie": self._cookie}).read()
        assert page is not None
        assert page.status == 200, page.body
        received = SimpleCookie(page.headers.get("set-cookie", ""))
        self.cookies |= {name: cookie.value for name, cookie in received.items()}
        return page

    def allow(self, server: Server, page: Answer, *, hold: str = "") -> Pending:
        """Press Allow on a page, wherever it came from. `hold` is for a server that can be held, see `middlewares`."""
        form = dict(_INPUT.findall(page.body.decode())) | {"decision": "allow"}
        headers = {"Cookie": self._cookie, **({HOLD: hold} if hold else {})}
        return post_form(self.log, server, self.path, form, headers)

    def take_code(self, answer: Answer | None) -> str:
        """Bring the client the code of an answer, and return it."""
        assert answer is not None
        assert answer.status == 302, answer.body
        assert answer.headers["location"].startswith(REDIRECT_URI)
        [code] = parse_qs(urlsplit(answer.headers["location"]).query)["code"]
        token = parse_token(code)
        assert token is not None
        self.log.secrets.add(code)
        self.client.code, self.client.connection = code, str(token.connection_id)
        return code

    @property
    def _cookie(self) -> str:
        return "; ".join(f"{name}={value}" for name, value in self.cookies.items())


_INPUT = re.compile(r'<input type="hidden" name="([^"]+)" value="([^"]*)">')
