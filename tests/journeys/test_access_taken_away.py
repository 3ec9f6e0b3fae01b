"""The identity provider takes access away: at the next refresh, and at once by back-channel logout."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
import requests
from django.conf import LazySettings

from mcp_oidc.models import Connection
from sample_project.demo.browser import DemoBrowser
from tests.idp import Idp
from tests.idp_server import running_idp
from tests.journeys.mcp_users import Denied, McpUser
from tests.upstream.browser import configure_upstream

pytestmark = pytest.mark.django_db(transaction=True)


class PersonAtIdp(DemoBrowser):
    """Logs in at the provider of `tests.idp`."""

    def answer(self, page: str) -> dict[str, str]:
        return {"sub": self.user, "decision": "allow"} if "/decide" in page else super().answer(page)


class Employee(McpUser):
    """Somebody with an account at the provider, a browser and a client."""

    def __init__(self, site: str, name: str) -> None:
        super().__init__(f"{site}/mcp", PersonAtIdp(name))

    def work(self) -> None:
        """Call a tool, and log in or refresh if the client sees fit to."""
        asyncio.run(self.call("profile"))

    def fail_to_log_in(self) -> None:
        """Try to work, and be sent back by the provider."""
        with pytest.raises(BaseExceptionGroup) as caught:
            self.work()
        assert caught.group_contains(Denied)
        assert self.answer["error"] == "access_denied"

    def status(self) -> int:
        """What the endpoint answers to the access token at hand."""
        assert self.storage.tokens is not None
        headers = {"Authorization": f"Bearer {self.storage.tokens.access_token}"}
        return requests.post(self.mcp_url, json={"jsonrpc": "2.0", "method": "ping"}, headers=headers).status_code

    def is_logged_in_here(self) -> bool:
        """Whether the browser still has a session of ours."""
        page = self.browser.session.get(f"{self.mcp_url.removesuffix('/mcp')}/oauth/connections", allow_redirects=False)
        return page.status_code == 200


@pytest.fixture
def idp(site: str, settings: LazySettings) -> Iterator[Idp]:
    with running_idp(redirect_uris=(f"{site}/oauth/callback",), algorithm="ES256", rotates=True) as idp:
        # Asked at every refresh of ours.
        configure_upstream(settings, {**idp.upstream, "REVALIDATE_AFTER": 0})
        yield idp


@pytest.fixture
def alice(idp: Idp, site: str) -> Employee:
    return Employee(site, "alice")


@pytest.fixture
def bob(idp: Idp, site: str) -> Employee:
    return Employee(site, "bob")


@pytest.mark.requirement("idp-takes-access-away")
def test_user_who_was_disabled_loses_access_at_the_next_refresh(idp: Idp, alice: Employee, bob: Employee) -> None:
    alice.work()
    bob.work()
    idp.disable("alice")
    access_token = alice.storage.tokens
    alice.lose_access_token()
    alice.forget_requests()
    alice.fail_to_log_in()
    # The refresh was refused in OAuth's terms, and nothing but a login was left to the client.
    assert alice.requests[0] == "POST /token 400"
    # Tokens that were given out before are dead with the connection.
    alice.storage.tokens = access_token
    assert alice.status() == 401
    require_unaffected(bob)


@pytest.mark.requirement("idp-takes-access-away")
def test_back_channel_logout_ends_access_at_once(idp: Idp, site: str, alice: Employee, bob: Employee) -> None:
    alice.work()
    bob.work()
    assert alice.is_logged_in_here()
    log_out(site, idp.logout_token("alice"))
    assert alice.status() == 401
    assert not alice.is_logged_in_here()
    # Logged out is not disabled: a login brings everything back, and the refresh token is no way around it.
    alice.lose_access_token()
    alice.forget_requests()
    alice.work()
    assert alice.requests[0] == "POST /token 400"
    assert alice.asked("/authorize") == 1
    require_unaffected(bob)


def test_back_channel_logout_of_one_session_leaves_the_others_of_its_user(idp: Idp, site: str, alice: Employee) -> None:
    idp.session = "laptop"
    alice.work()
    idp.session = "telephone"
    other = Employee(site, "alice")
    other.work()
    log_out(site, idp.logout_token("alice", sid="laptop"))
    assert (alice.status(), other.status()) == (401, 202)
    assert (alice.is_logged_in_here(), other.is_logged_in_here()) == (False, True)
    require_unaffected(other)


def test_user_who_was_disabled_and_logged_out_stays_out(idp: Idp, site: str, alice: Employee, bob: Employee) -> None:
    alice.work()
    bob.work()
    idp.disable("alice")
    log_out(site, idp.logout_token("alice"))
    assert alice.status() == 401
    alice.fail_to_log_in()
    assert Connection.objects.filter(revoked_at=None).count() == 1
    require_unaffected(bob)


def require_unaffected(user: Employee) -> None:
    """Neither calls nor refreshes of `user` need a login."""
    assert user.status() == 202
    user.lose_access_token()
    user.forget_requests()
    user.work()
    assert user.requests[0] == "POST /token 200"
    assert user.asked("/authorize") == 0


def log_out(site: str, logout_token: str) -> None:
    """What the provider sends when somebody logs out there."""
    answer = requests.post(f"{site}/oauth/backchannel-logout", data={"logout_token": logout_token})
    assert answer.status_code == 200, answer.text
