"""Whole journeys at identity providers that others wrote: django-oauth-toolkit's, and one made with Authlib."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
import requests
from django.conf import LazySettings
from joserfc.jws import extract_compact
from pytest_django.live_server_helper import LiveServer

from mcp_oidc.core.upstream_tokens import StoredTokens, read_tokens
from mcp_oidc.models import Identity
from tests.clock import Clock, controllable_clock
from tests.idp_tokens import key_of
from tests.journeys.mcp_users import Denied, McpUser
from tests.journeys.real_providers import AUTHLIB, DOT, Implementation, Person, RealProvider, running_provider
from tests.journeys.servers import free_port
from tests.upstream.browser import configure_upstream
from tests.upstream.provider_configuration import USERS, RelyingParty

pytestmark = pytest.mark.django_db(transaction=True)

FIVE_MINUTES = 300
LIFETIME = RelyingParty.lifetime
ALICE = USERS["alice"]["email"]

CLIENT_KEY = key_of("ES256", "ours")
PARTIES = {
    DOT: (
        RelyingParty("basic", secret="the secret", rotates=True),
        RelyingParty("post", "client_secret_post", "another secret", rotates=False, has_full_id_tokens=True),
        RelyingParty("public", "none", rotates=False),
        RelyingParty("approved", secret="the secret", needs_approval=True),
        RelyingParty("hasty", secret="the secret", lifetime=5),
    ),
    AUTHLIB: (
        # Authlib takes Basic credentials as they are, without the decoding of RFC 6749 2.3.1.
        RelyingParty("basic", secret="a-secret", rotates=False, has_full_id_tokens=True),
        RelyingParty("post", "client_secret_post", "another secret", rotates=True),
        RelyingParty("public", "none", rotates=True, has_full_id_tokens=True),
        RelyingParty("signs", "private_key_jwt", jwk=CLIENT_KEY.as_dict(private=False), rotates=False),
        RelyingParty("approved", "client_secret_post", "a secret", needs_approval=True),
        RelyingParty("hasty", "client_secret_post", "a secret", lifetime=5),
    ),
}

# Who wrote the provider, client authentication, where the e-mail address is, whether refresh tokens rotate: every two
# meet in at least one journey.
JOURNEYS = [
    pytest.param(implementation, party, id=f"{implementation.name}-{party.client_id}")
    for implementation, parties in PARTIES.items()
    for party in parties
    if party.client_id not in ("approved", "hasty")
]
BOTH = [pytest.param(DOT, id="dot"), pytest.param(AUTHLIB, id="authlib")]
SIMPLEST = [pytest.param(DOT, "basic", id="dot"), pytest.param(AUTHLIB, "post", id="authlib")]
# What the provider's metadata does not lead to.
BY_HAND: dict[tuple[Implementation, str], dict[str, Any]] = {
    (DOT, "post"): {"CLIENT_AUTH": "client_secret_post"},
    (AUTHLIB, "basic"): {"CLIENT_AUTH": "client_secret_basic"},
    (AUTHLIB, "signs"): {"CLIENT_AUTH": "private_key_jwt", "CLIENT_KEY": CLIENT_KEY.as_dict(private=True)},
}


class Relations:
    """Our server at `site` as a client of one provider after the other."""

    def __init__(self, site: str, settings: LazySettings, providers: dict[Implementation, RealProvider]) -> None:
        self.site = site
        self._settings = settings
        self._providers = providers

    def use(self, implementation: Implementation, client_id: str, **changes: Any) -> RealProvider:
        """Be this client of the provider."""
        provider = self._providers[implementation]
        changes = {**BY_HAND.get((implementation, client_id), {}), **changes}
        configure_upstream(self._settings, provider.upstream(client_id, **changes))
        return provider

    def bring(self, person: Person) -> McpUser:
        """Somebody with a client that has not connected yet."""
        return McpUser(f"{self.site}/mcp", person)


@pytest.fixture(scope="module")
def providers(
    live_server: LiveServer, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[Implementation, RealProvider]]:
    with ExitStack() as stack:
        yield {
            implementation: stack.enter_context(
                running_provider(
                    implementation,
                    port=free_port(),
                    home=str(tmp_path_factory.mktemp(implementation.name)),
                    site=live_server.url,
                    parties=parties,
                )
            )
            for implementation, parties in PARTIES.items()
        }


@pytest.fixture
def relations(site: str, settings: LazySettings, providers: dict[Implementation, RealProvider]) -> Relations:
    return Relations(site, settings, providers)


@pytest.fixture
def clock() -> Iterator[Clock]:
    with controllable_clock() as clock:
        yield clock


@pytest.mark.requirement("real-identity-providers")
@pytest.mark.parametrize(("implementation", "party"), JOURNEYS)
def test_tokens_are_fresh_from_the_first_connection_to_the_logout(
    relations: Relations, clock: Clock, implementation: Implementation, party: RelyingParty
) -> None:
    provider = relations.use(implementation, party.client_id)
    alice = relations.bring(Person("alice"))
    assert connect(alice) == ALICE
    identity = Identity.objects.get()
    assert (identity.issuer, identity.claims["email"]) == (provider.issuer, ALICE)
    for _ in range(2):
        before = stored_tokens("alice")
        clock.advance(LIFETIME)
        # The second call finds the tokens fresh.
        assert [call(alice), call(alice)] == [ALICE, ALICE]
        after = stored_tokens("alice")
        assert after.version == before.version + 1
        assert after.tokens.access_token != before.tokens.access_token
        assert (after.tokens.refresh_token != before.tokens.refresh_token) == party.rotates
    assert alice.browser.log_out(relations.site) == f"{relations.site}/oauth/logout"
    assert alice.browser.pressed == ["login", "logout"]
    # The provider has ended its session too.
    assert 'name="password"' in alice.browser.session.get(f"{relations.site}/oauth/login").text


@pytest.mark.parametrize(("implementation", "client_id"), SIMPLEST)
def test_a_restart_of_the_provider_with_another_key_costs_nobody_anything(
    relations: Relations, clock: Clock, implementation: Implementation, client_id: str
) -> None:
    provider = relations.use(implementation, client_id)
    alice = relations.bring(Person("alice"))
    connect(alice)
    first = stored_tokens("alice").tokens.id_token
    provider.stop()
    try:
        clock.advance(LIFETIME)
        answer = ask(alice)
    finally:
        provider.start("second", "first")
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) > 0
    assert call(alice) == ALICE
    # Our process still has the keys of before.
    assert connect(relations.bring(Person("bob"))) == USERS["bob"]["email"]
    assert header_of(stored_tokens("bob").tokens.id_token)["kid"] != header_of(first)["kid"]


@pytest.mark.parametrize(
    ("ahead", "check"),
    [pytest.param(-FIVE_MINUTES, "iat", id="behind"), pytest.param(FIVE_MINUTES, "exp", id="ahead")],
)
@pytest.mark.parametrize(("implementation", "client_id"), SIMPLEST)
def test_a_clock_that_is_five_minutes_off_fails_the_login_and_is_named_in_the_log(
    relations: Relations,
    implementation: Implementation,
    client_id: str,
    ahead: int,
    check: str,
    caplog: pytest.LogCaptureFixture,
) -> None:
    relations.use(implementation, client_id)
    with controllable_clock(ahead):
        assert refusal_of(relations.bring(Person("alice")))["error"] == "server_error"
    assert f"the ID token failed the check of {check}" in caplog.text
    assert not Identity.objects.exists()


@pytest.mark.parametrize(("implementation", "client_id"), SIMPLEST)
def test_a_wrong_client_secret_is_named_in_the_log_and_not_repeated(
    relations: Relations, implementation: Implementation, client_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    relations.use(implementation, client_id, CLIENT_SECRET="of-another-client")
    assert refusal_of(relations.bring(Person("alice")))["error"] == "server_error"
    assert "the identity provider answered invalid_client" in caplog.text
    assert "of-another-client" not in caplog.text
    assert not Identity.objects.exists()


@pytest.mark.parametrize(("implementation", "client_id"), SIMPLEST)
def test_a_user_who_says_no_at_the_provider_gives_the_client_access_denied(
    relations: Relations, implementation: Implementation, client_id: str
) -> None:
    relations.use(implementation, "approved")
    person = Person("alice", allows=False)
    assert refusal_of(relations.bring(person))["error"] == "access_denied"
    assert person.pressed == ["login", "approval"]


@pytest.mark.requirement("real-identity-providers")
@pytest.mark.parametrize("implementation", BOTH)
def test_access_tokens_of_five_seconds_are_renewed_in_time(
    relations: Relations, clock: Clock, implementation: Implementation
) -> None:
    relations.use(implementation, "hasty")
    alice = relations.bring(Person("alice"))
    connect(alice)
    for _ in range(3):
        before = stored_tokens("alice")
        clock.advance(5)
        assert call(alice) == ALICE
        # Once, unless this machine was in no haste.
        assert stored_tokens("alice").version > before.version


@pytest.mark.long
@pytest.mark.parametrize("implementation", BOTH)
def test_a_token_that_has_really_expired_at_the_provider_is_replaced(
    relations: Relations, implementation: Implementation
) -> None:
    provider = relations.use(implementation, "hasty")
    alice = relations.bring(Person("alice"))
    connect(alice)
    expired = stored_tokens("alice").tokens.access_token
    userinfo = requests.get(f"{provider.issuer}/.well-known/openid-configuration").json()["userinfo_endpoint"]
    deadline = time.monotonic() + 60
    while requests.get(userinfo, headers={"Authorization": f"Bearer {expired}"}).status_code == 200:
        assert time.monotonic() < deadline
        time.sleep(0.2)
    assert call(alice) == ALICE


def connect(user: McpUser) -> str:
    """Let a client connect, by whatever it takes, and call the tool; what the provider's userinfo has told that."""
    return str(asyncio.run(user.call("profile"))["email"])


def ask(user: McpUser) -> requests.Response:
    """Call the tool with the access token at hand."""
    assert user.storage.tokens is not None
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "profile"}}
    return requests.post(
        user.mcp_url, json=message, headers={"Authorization": f"Bearer {user.storage.tokens.access_token}"}
    )


def call(user: McpUser) -> str:
    """As `connect`, for a client that needs nothing but its access token."""
    answer = ask(user)
    assert answer.status_code == 200, answer.text
    return str(answer.json()["result"]["structuredContent"]["email"])


def refusal_of(user: McpUser) -> dict[str, str]:
    """What a client is told in the place of a code."""
    with pytest.raises(BaseExceptionGroup) as caught:
        asyncio.run(user.call("profile"))
    assert caught.group_contains(Denied)
    return user.answer


def stored_tokens(name: str) -> StoredTokens:
    """The token set of a user."""
    return read_tokens(Identity.objects.get(claims__email=USERS[name]["email"]).pk)


def header_of(id_token: str | None) -> dict[str, Any]:
    assert id_token is not None
    return dict(extract_compact(id_token.encode()).headers())
