"""Identity providers that others wrote, each in a process of its own, and people who log in at their pages."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Any

from sample_project.demo.browser import DemoBrowser
from sample_project.demo.processes import running
from tests.idp_tokens import key_of
from tests.upstream.provider_configuration import PASSWORD, ProviderConfiguration, RelyingParty


@dataclass(frozen=True)
class Implementation:
    """Who wrote it, the module that serves it, its signing algorithm, and the path of its issuer."""

    name: str
    module: str
    algorithm: str
    path: str = ""


DOT = Implementation("dot", "tests.upstream.dot_provider", "RS256", "/o")
AUTHLIB = Implementation("authlib", "tests.upstream.authlib_provider", "ES256")


@dataclass
class RealProvider:
    """A provider that a test may stop, and start again with the same database."""

    implementation: Implementation
    configuration: ProviderConfiguration
    _running: ExitStack = field(default_factory=ExitStack)

    @property
    def issuer(self) -> str:
        return self.configuration.origin + self.implementation.path

    def start(self, *key_names: str) -> None:
        """Serve, and return once it does. Key names change the keys: the first one signs, and all are published."""
        if key_names:
            self.configuration = replace(self.configuration, keys=_private_keys(self.implementation, *key_names))
        command = [sys.executable, "-W", "ignore", "-m", self.implementation.module]
        # Authlib insists on https otherwise; this one never leaves the machine.
        environment = {**self.configuration.as_environment(), "AUTHLIB_INSECURE_TRANSPORT": "1"}
        port = self.configuration.port
        self._running.enter_context(running(command, port=port, environment={**os.environ, **environment}))

    def stop(self) -> None:
        self._running.close()

    def upstream(self, client_id: str, **changes: Any) -> dict[str, Any]:
        """MCP_OIDC["UPSTREAM"] for one of its clients."""
        party = self.configuration.relying_party(client_id)
        assert party is not None
        return {"ISSUER": self.issuer, "CLIENT_ID": client_id, "CLIENT_SECRET": party.secret, **changes}


@contextmanager
def running_provider(
    implementation: Implementation, *, port: int, home: str, site: str, parties: tuple[RelyingParty, ...]
) -> Iterator[RealProvider]:
    """A provider that our server at `site` is a client of, until the block ends."""
    configuration = ProviderConfiguration(
        # Not localhost, where we are: browsers do not tell ports apart when they send cookies.
        origin=f"http://127.0.0.1:{port}",
        home=home,
        keys=(),
        redirect_uri=f"{site}/oauth/callback",
        post_logout_redirect_uri=f"{site}/oauth/logout",
        relying_parties=parties,
    )
    provider = RealProvider(implementation, configuration)
    provider.start("first")
    try:
        yield provider
    finally:
        provider.stop()


class Person(DemoBrowser):
    """Somebody with a browser: fills in login forms, and says yes or no where a provider asks."""

    def __init__(self, user: str, *, allows: bool = True) -> None:
        super().__init__(user)
        self.allows = allows
        # The paths of the pages at which something was pressed.
        self.pressed: list[str] = []

    def answer(self, page: str) -> dict[str, str]:
        fields = _hidden_fields(page)
        if 'name="decision"' in page:
            return {**fields, "decision": "allow"}
        if 'name="password"' in page:
            self.pressed.append("login")
            return {**fields, "username": self.user, "password": PASSWORD}
        self.pressed.append("approval")
        return {**fields, "allow": "yes"} if self.allows else fields

    def log_out(self, site: str) -> str:
        """Press the button of our logout page, and whatever the provider asks; where the browser ends up."""
        # Where the button is, and where the provider sends the browser back to.
        url = f"{site}/oauth/logout"
        token = _hidden_fields(self.session.get(url).text)
        response = self.session.post(url, data=token, headers={"Referer": url}, allow_redirects=False)
        while "Location" in response.headers and response.headers["Location"] != url:
            response = self.session.get(response.headers["Location"], allow_redirects=False)
            if response.status_code == 200:
                response = self._press(response)
                self.pressed[-1] = "logout"
        return response.headers.get("Location", response.url)


def _private_keys(implementation: Implementation, *names: str) -> tuple[str, ...]:
    keys = (key_of(implementation.algorithm, name) for name in names)
    return tuple(key.as_pem(private=True).decode() for key in keys)


def _hidden_fields(page: str) -> dict[str, str]:
    parser = _Form()
    parser.feed(page)
    return parser.hidden


class _Form(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.hidden: dict[str, str] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        members = dict(attrs)
        if tag == "input" and members.get("type") == "hidden":
            self.hidden[str(members["name"])] = members.get("value") or ""
