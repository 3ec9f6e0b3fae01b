"""What a protected endpoint refuses (RFC 6750 3, RFC 9728 5.1), through every entry point alike."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.key_rotation import save_key
from mcp_oidc.core.sightings import wait_for_sightings
from mcp_oidc.protocol.jwks import SigningJwk
from tests.resource.entry_points import (
    METHODS,
    Answer,
    Call,
    Kind,
    every_entry_point,
    every_one_of_ours,
    every_one_with_a_database,
)
from tests.resource.refusals import BAD_TOKENS, DEAD_TOKENS
from tests.resource.worlds import Issue, World, issuing, make_world

# Tokens are verified in threads of their own too, which see only what was committed.
pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.urls("tests.resource.urls"),
    pytest.mark.usefixtures("_settings"),
]

METADATA = "http://testserver/.well-known/oauth-protected-resource/mcp"
BARE_CHALLENGE = f'Bearer scope="mcp", resource_metadata="{METADATA}"'
PAGE = "https://app.example"


every_bad_token = pytest.mark.parametrize("bad_token", [*BAD_TOKENS, *DEAD_TOKENS], ids=lambda row: row.__name__)


@pytest.fixture(scope="module")
def _rows(django_db_setup: None, django_db_blocker: Any, _signing_jwk: SigningJwk) -> Iterator[None]:
    """A database for all tests here, which only read it: emptying it after each takes longer than most of them."""
    with django_db_blocker.unblock():
        save_key(_signing_jwk)
        yield
        assert wait_for_sightings(30)
        call_command("flush", interactive=False, verbosity=0)


@pytest.fixture
def _django_db_helper(_rows: None) -> None:
    """In the place of pytest-django's, which does empty it."""


@pytest.fixture(scope="module")
def world(_rows: None, _signing_jwk: SigningJwk) -> World:
    return make_world("alice", _signing_jwk)


@pytest.fixture(scope="module")
def tokens(world: World, _signing_jwk: SigningJwk) -> dict[str, str]:
    """The table, by name. What dies has a world of its own."""
    return {
        **{row.__name__: row(world) for row in BAD_TOKENS},
        **{row.__name__: row(make_world(row.__name__, _signing_jwk)) for row in DEAD_TOKENS},
    }


@pytest.fixture(scope="module")
def issue(world: World) -> Issue:
    return issuing(world.client, world.identity, caller=Caller(address="192.0.2.7", agent="tests/1.0"))


@pytest.fixture
def _settings(settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "CORS_ORIGINS": [PAGE]}
    # django-mcpz has no other list of origins.
    settings.ALLOWED_HOSTS = [*settings.ALLOWED_HOSTS, "app.example"]


@every_entry_point
def test_good_token_is_let_through(kind: Kind, world: World) -> None:
    answer = kind.call(Call(authorization=f"Bearer {world.access_token}"))
    assert answer.status == 200
    assert answer.json["subject"] == str(world.identity.subject)
    assert answer.json["client"] == world.client.client_id
    assert answer.json["resource"] == "http://testserver/mcp"
    assert answer.json["scopes"] == ["openid", "mcp"]


@pytest.mark.requirement("resource-refuses-bad-tokens")
@every_bad_token
@every_entry_point
def test_bad_token_is_refused_with_a_challenge(
    kind: Kind, bad_token: Callable[[World], str], tokens: dict[str, str]
) -> None:
    token = tokens[bad_token.__name__]
    for method in METHODS:
        answer = kind.call(Call(authorization=f"Bearer {token}", method=method))
        if method in kind.methods:
            assert_refused(answer, kind, error="invalid_token")
            assert token not in f"{answer.headers}{answer.body!r}"
        else:
            assert answer.status == 405


@every_entry_point
def test_no_other_method_gets_in_without_a_good_token(kind: Kind, tokens: dict[str, str]) -> None:
    for method in ("HEAD", "PUT", "PATCH", "TRACE", "PROPFIND", "get", "OPTIONS"):
        for authorization in (None, f"Bearer {tokens['revoked']}", f"Bearer {tokens['unsigned']}"):
            answer = kind.call(Call(authorization=authorization, method=method))
            allowed = (204, 401, 405) if method == "OPTIONS" else (401, 405)
            assert (method, answer.status in allowed) == (method, True), answer.status
            assert b"subject" not in answer.body


@pytest.mark.requirement("resource-audience")
@every_entry_point
def test_token_of_a_longer_path_does_not_open_the_shorter_one_nor_the_other_way_round(kind: Kind, world: World) -> None:
    mine, other = world.access_token, world.plain_tokens.access_token
    statuses = {
        (place, token is mine): kind.call(Call(place, f"Bearer {token}")).status
        for place in ("mcp", "plain")
        for token in (mine, other)
    }
    assert statuses == {("mcp", True): 200, ("mcp", False): 401, ("plain", True): 401, ("plain", False): 200}


@every_entry_point
@pytest.mark.parametrize("authorization", [None, "", "Basic YTpi", "mcp token", "Bearer\ttab"])
def test_request_without_a_token_is_told_where_to_get_one(kind: Kind, authorization: str | None) -> None:
    for method in kind.methods:
        assert_told_where(kind.call(Call(method=method, authorization=authorization)), kind)


@pytest.mark.requirement("resource-token-in-header-only")
@every_entry_point
def test_token_in_the_query_or_the_body_is_not_read(kind: Kind, world: World) -> None:
    parameter = f"access_token={world.access_token}"
    for method in kind.methods:
        assert_told_where(kind.call(Call(method=method, query=parameter)), kind)
    form = Call(body=parameter.encode(), content_type="application/x-www-form-urlencoded")
    assert_told_where(kind.call(form), kind)


@every_entry_point
@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Bearer two tokens", "Bearer a,Bearer b", "Bearer t\xf6ken", 'Bearer "quoted"'],
)
def test_malformed_header_is_a_bad_request(kind: Kind, authorization: str) -> None:
    for method in kind.methods:
        answer = kind.call(Call(authorization=authorization, method=method))
        assert_refused(answer, kind, error="invalid_request", status=400 if kind.is_ours else 401)


@pytest.mark.requirement("resource-one-challenge-for-all-scopes")
@every_entry_point
def test_token_that_lacks_a_scope_is_told_all_that_the_call_needs(kind: Kind, world: World) -> None:
    for method in kind.methods:
        answer = kind.call(Call("scoped", f"Bearer {world.access_token}", method))
        assert_refused(answer, kind, error="insufficient_scope", status=403, scope="mcp notes:write")


@every_entry_point
def test_token_with_every_scope_is_let_through(kind: Kind, issue: Issue) -> None:
    tokens = issue(scope="mcp notes:write")
    assert kind.call(Call("scoped", f"Bearer {tokens.access_token}")).status == 200


@every_entry_point
def test_scopes_of_the_resource_itself_are_always_needed(kind: Kind, issue: Issue) -> None:
    tokens = issue(scope="openid notes:write")
    answer = kind.call(Call(authorization=f"Bearer {tokens.access_token}"))
    assert_refused(answer, kind, error="insufficient_scope", status=403)


@pytest.mark.requirement("resource-checks-origin")
@every_entry_point
def test_page_of_a_foreign_origin_is_refused_whatever_its_token(kind: Kind, world: World) -> None:
    for origin in ("https://evil.example", "null", "http://testserver.evil.example", "http://testserver:81"):
        for method in kind.methods:
            headers = {"Origin": origin}
            answer = kind.call(Call(authorization=f"Bearer {world.access_token}", method=method, headers=headers))
            assert (origin, answer.status) == (origin, 403)
            assert "access-control-allow-origin" not in answer.headers


@every_entry_point
@pytest.mark.parametrize("origin", ["http://testserver", "http://localhost:6274", PAGE])
def test_page_of_an_allowed_origin_is_let_through(kind: Kind, origin: str, world: World) -> None:
    answer = kind.call(Call(authorization=f"Bearer {world.access_token}", headers={"Origin": origin}))
    assert answer.status == 200


@pytest.mark.requirement("resource-fails-closed")
@every_one_of_ours
def test_outage_of_the_database_is_not_an_invalid_token(
    kind: Kind, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_database(monkeypatch)
    answer = kind.call(Call(authorization=f"Bearer {world.access_token}"))
    assert answer.status == 503
    assert answer.json["error"] == "temporarily_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.challenge is None


@every_one_with_a_database
def test_connection_that_the_database_has_closed_costs_nobody_a_request(
    kind: Kind, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The keys come from the database too, and are known after the first request.
    assert kind.call(Call(authorization=f"Bearer {world.access_token}")).status == 200
    break_database(monkeypatch, times=1)
    assert kind.call(Call(authorization=f"Bearer {world.access_token}")).status == 200


def assert_told_where(answer: Answer, kind: Kind) -> None:
    """401, and where to get a token. RFC 6750 3.1: no error code, since nothing was tried."""
    if kind.is_ours:
        assert answer.status == 401
        assert answer.challenge == BARE_CHALLENGE
        assert answer.headers["content-type"].startswith("application/json")
    else:
        assert_refused(answer, kind, error="invalid_token")


def assert_refused(answer: Answer, kind: Kind, *, error: str, status: int = 401, scope: str = "mcp") -> None:
    """The challenge says what was wrong, what is needed and where to get it; the body says the same in JSON."""
    assert answer.status == status
    assert answer.challenge is not None
    scheme, _, rest = answer.challenge.partition(" ")
    params = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    description = params.pop("error_description")
    assert scheme == "Bearer"
    if kind.is_ours:
        assert params == {"error": error, "scope": scope, "resource_metadata": METADATA}
    else:
        assert params["resource_metadata"] == METADATA
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json == {"error": params["error"], "error_description": description}


def break_database(monkeypatch: pytest.MonkeyPatch, *, times: int = 1000) -> None:
    """The next statements fail, in every thread, as after a restart of the server or while it is gone."""
    failures = iter(range(times))
    execute = CursorWrapper.execute

    def fail(cursor: CursorWrapper, *args: Any) -> Any:
        if next(failures, None) is not None:
            raise OperationalError("server closed the connection unexpectedly")
        return execute(cursor, *args)

    monkeypatch.setattr(CursorWrapper, "execute", fail)
