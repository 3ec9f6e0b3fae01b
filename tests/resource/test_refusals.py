"""What a protected endpoint refuses (RFC 6750 3, RFC 9728 5.1), through every entry point alike."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import OperationalError
from django.db.backends.utils import CursorWrapper
from django.test import override_settings

from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.resource.mcp_sdk import TokenVerifier
from tests.resource.entry_points import ENTRY_POINTS, Answer, Call, EntryPoint
from tests.resource.refusals import BAD_TOKENS, DEAD_TOKENS
from tests.resource.worlds import Issue, World

# Tokens are verified in threads of their own too, which see only what was committed.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.resource.urls")]

METADATA = "http://testserver/.well-known/oauth-protected-resource/mcp"
BARE_CHALLENGE = f'Bearer scope="mcp", resource_metadata="{METADATA}"'

every_entry_point = pytest.mark.parametrize("entry_point", ENTRY_POINTS.values(), ids=ENTRY_POINTS.keys())
every_bad_token = pytest.mark.parametrize("bad_token", [*BAD_TOKENS, *DEAD_TOKENS], ids=lambda row: row.__name__)


@every_entry_point
def test_good_token_is_let_through(entry_point: EntryPoint, world: World) -> None:
    answer = entry_point(Call(authorization=f"Bearer {world.access_token}"))
    assert answer.status == 200
    assert answer.json["subject"] == str(world.identity.subject)
    assert answer.json["client"] == world.client.client_id
    assert answer.json["resource"] == "http://testserver/mcp"
    assert answer.json["scopes"] == ["openid", "mcp"]


@pytest.mark.requirement("resource-refuses-bad-tokens")
@every_bad_token
@every_entry_point
def test_bad_token_is_refused_with_a_challenge(
    entry_point: EntryPoint, bad_token: Callable[[World], str], world: World
) -> None:
    token = bad_token(world)
    answer = entry_point(Call(authorization=f"Bearer {token}"))
    assert answer.status == 401
    assert_challenge(answer, error="invalid_token")
    assert token not in f"{answer.headers}{answer.body!r}"


@pytest.mark.requirement("resource-audience")
@every_entry_point
def test_token_of_a_longer_path_does_not_open_the_shorter_one_nor_the_other_way_round(
    entry_point: EntryPoint, world: World
) -> None:
    mine, other = world.access_token, world.plain_tokens.access_token
    statuses = {
        (place, token is mine): entry_point(Call(place, f"Bearer {token}")).status
        for place in ("mcp", "plain")
        for token in (mine, other)
    }
    assert statuses == {("mcp", True): 200, ("mcp", False): 401, ("plain", True): 401, ("plain", False): 200}


@every_entry_point
@pytest.mark.parametrize("method", ["GET", "POST", "DELETE"])
def test_request_without_a_token_is_told_where_to_get_one(entry_point: EntryPoint, method: str) -> None:
    answer = entry_point(Call(method=method))
    assert answer.status == 401
    assert answer.challenge == BARE_CHALLENGE
    assert answer.headers["content-type"].startswith("application/json")


@every_entry_point
@pytest.mark.parametrize("authorization", ["", "Basic YTpi", "mcp token", "Bearer\ttab"])
def test_credentials_of_another_kind_are_no_token(entry_point: EntryPoint, authorization: str) -> None:
    answer = entry_point(Call(authorization=authorization))
    assert answer.status == 401
    assert answer.challenge == BARE_CHALLENGE


@pytest.mark.requirement("resource-token-in-header-only")
@every_entry_point
def test_token_in_the_query_or_the_body_is_not_read(entry_point: EntryPoint, world: World) -> None:
    parameter = f"access_token={world.access_token}"
    in_query = entry_point(Call(query=parameter))
    in_body = entry_point(Call(body=parameter.encode(), content_type="application/x-www-form-urlencoded"))
    assert [in_query.status, in_body.status] == [401, 401]
    assert in_query.challenge == in_body.challenge == BARE_CHALLENGE


@every_entry_point
@pytest.mark.parametrize(
    "authorization",
    ["Bearer", "Bearer ", "Bearer two tokens", "Bearer a,Bearer b", "Bearer t\xf6ken", 'Bearer "quoted"'],
)
def test_malformed_header_is_a_bad_request(entry_point: EntryPoint, authorization: str) -> None:
    answer = entry_point(Call(authorization=authorization))
    assert answer.status == 400
    assert_challenge(answer, error="invalid_request")


@pytest.mark.requirement("resource-one-challenge-for-all-scopes")
@every_entry_point
def test_token_that_lacks_a_scope_is_told_all_that_the_call_needs(entry_point: EntryPoint, world: World) -> None:
    answer = entry_point(Call("scoped", f"Bearer {world.access_token}"))
    assert answer.status == 403
    assert_challenge(answer, error="insufficient_scope", scope="mcp notes:write")


@every_entry_point
def test_token_with_every_scope_is_let_through(entry_point: EntryPoint, issue: Issue) -> None:
    tokens: TokenSet = issue(scope="mcp notes:write")
    assert entry_point(Call("scoped", f"Bearer {tokens.access_token}")).status == 200


@every_entry_point
def test_scopes_of_the_resource_itself_are_always_needed(entry_point: EntryPoint, issue: Issue) -> None:
    tokens: TokenSet = issue(scope="openid notes:write")
    answer = entry_point(Call(authorization=f"Bearer {tokens.access_token}"))
    assert answer.status == 403
    assert_challenge(answer, error="insufficient_scope")


@pytest.mark.requirement("resource-checks-origin")
@every_entry_point
def test_page_of_a_foreign_origin_is_refused_whatever_its_token(entry_point: EntryPoint, world: World) -> None:
    for origin in ("https://evil.example", "null", "http://testserver.evil.example", "http://testserver:81"):
        answer = entry_point(Call(authorization=f"Bearer {world.access_token}", headers={"Origin": origin}))
        assert (origin, answer.status) == (origin, 403)
        assert answer.json["error"] == "access_denied"


@every_entry_point
@pytest.mark.parametrize("origin", ["http://testserver", "http://localhost:6274", "https://app.example"])
def test_page_of_an_allowed_origin_is_let_through(entry_point: EntryPoint, origin: str, world: World) -> None:
    with override_settings(MCP_OIDC={"ISSUER": "http://testserver", "CORS_ORIGINS": ["https://app.example"]}):
        answer = entry_point(Call(authorization=f"Bearer {world.access_token}", headers={"Origin": origin}))
    assert answer.status == 200


@pytest.mark.requirement("resource-fails-closed")
@every_entry_point
def test_outage_of_the_database_is_not_an_invalid_token(
    entry_point: EntryPoint, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_database(monkeypatch)
    answer = entry_point(Call(authorization=f"Bearer {world.access_token}"))
    assert answer.status == 503
    assert answer.json["error"] == "temporarily_unavailable"
    assert int(answer.headers["retry-after"]) > 0
    assert answer.challenge is None


@every_entry_point
def test_connection_that_the_database_has_closed_costs_nobody_a_request(
    entry_point: EntryPoint, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The keys come from the database too, and are known after the first request.
    assert entry_point(Call(authorization=f"Bearer {world.access_token}")).status == 200
    break_database(monkeypatch, times=1)
    assert entry_point(Call(authorization=f"Bearer {world.access_token}")).status == 200


@every_bad_token
def test_bad_token_is_refused_by_the_token_verifier_of_the_sdk(bad_token: Callable[[World], str], world: World) -> None:
    assert async_to_sync(TokenVerifier().verify_token)(bad_token(world)) is None


def assert_challenge(answer: Answer, *, error: str, scope: str = "mcp") -> None:
    """The challenge says what was wrong, what is needed and where to get it; the body says the same in JSON."""
    assert answer.challenge is not None
    scheme, _, rest = answer.challenge.partition(" ")
    params = dict(re.findall(r'(\w+)="([^"]*)"', rest))
    description = params.pop("error_description")
    assert scheme == "Bearer"
    assert params == {"error": error, "scope": scope, "resource_metadata": METADATA}
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json == {"error": error, "error_description": description}


def break_database(monkeypatch: pytest.MonkeyPatch, *, times: int = 1000) -> None:
    """The next statements fail, in every thread, as after a restart of the server or while it is gone."""
    failures = iter(range(times))
    execute = CursorWrapper.execute

    def fail(cursor: CursorWrapper, *args: Any) -> Any:
        if next(failures, None) is not None:
            raise OperationalError("server closed the connection unexpectedly")
        return execute(cursor, *args)

    monkeypatch.setattr(CursorWrapper, "execute", fail)
