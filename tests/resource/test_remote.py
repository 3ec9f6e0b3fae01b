"""`RemoteVerifier`: verification by the published keys alone."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from typing import Any

import pytest

from mcp_oidc.errors import InvalidToken, TemporarilyUnavailable
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk, public_jwks
from mcp_oidc.resource.remote import RemoteVerifier
from tests.factories import ISSUER, RESOURCE
from tests.resource.clocks import Clock
from tests.resource.refusals import BAD_TOKENS
from tests.resource.worlds import Issue, World

pytestmark = pytest.mark.django_db


class Publisher:
    """The issuer's documents, as `http` brings them, and how often they were asked for."""

    def __init__(self, *keys: SigningJwk) -> None:
        self.keys = public_jwks(keys)["keys"]
        self.metadata = {"issuer": ISSUER, "jwks_uri": f"{ISSUER}/jwks"}
        self.is_down = False
        self.fetches = 0
        # In the place of the keys.
        self.answer: bytes | None = None
        # Called before them.
        self.hang: Callable[[], object] = lambda: None

    def __call__(self, url: str) -> bytes:
        if self.is_down:
            raise ConnectionRefusedError
        if url == f"{ISSUER}/.well-known/oauth-authorization-server":
            return json.dumps(self.metadata).encode()
        assert url == f"{ISSUER}/jwks"
        self.fetches += 1
        self.hang()
        if self.answer is not None:
            return self.answer
        return json.dumps({"keys": self.keys}).encode()


@pytest.fixture
def publisher(signing_key: SigningJwk) -> Publisher:
    return Publisher(signing_key)


@pytest.fixture
def verifier(publisher: Publisher) -> RemoteVerifier:
    return RemoteVerifier(ISSUER, RESOURCE, http=publisher)


def test_good_token_is_taken_and_says_who_calls(verifier: RemoteVerifier, world: World) -> None:
    principal = verifier.verify(world.access_token)
    assert principal.subject == str(world.identity.subject)
    assert principal.client_id == world.client.client_id
    assert principal.resource == RESOURCE
    assert principal.has_scopes(("mcp",))
    assert not principal.has_scopes(("mcp", "notes:write"))
    assert principal.expires_at == world.claims["exp"]
    assert principal.claims["iss"] == ISSUER


@pytest.mark.requirement("resource-implied-scopes")
def test_wider_scope_implies_what_the_verifier_was_told(publisher: Publisher, issue: Issue) -> None:
    token = issue(scope="mcp notes:admin").access_token
    implied = {"notes:admin": ["notes:write"], "notes:write": ["notes:read"]}
    told = RemoteVerifier(ISSUER, RESOURCE, http=publisher, implied_scopes=implied).verify(token)
    untold = RemoteVerifier(ISSUER, RESOURCE, http=publisher).verify(token)
    assert told.scopes == untold.scopes == ("mcp", "notes:admin")
    assert told.has_scopes(("mcp", "notes:read"))
    assert not told.has_scopes(("notes:drop",))
    assert not untold.has_scopes(("notes:read",))
    with pytest.raises(ValueError, match="a -> a"):
        RemoteVerifier(ISSUER, RESOURCE, implied_scopes={"a": ["a"]})


@pytest.mark.requirement("resource-refuses-bad-tokens")
@pytest.mark.parametrize("bad_token", BAD_TOKENS, ids=lambda row: row.__name__)
def test_bad_token_is_refused(bad_token: Callable[[World], str], verifier: RemoteVerifier, world: World) -> None:
    token = bad_token(world)
    with pytest.raises(InvalidToken):
        verifier.verify(token)


def test_keys_are_fetched_once_and_again_after_ten_minutes(
    verifier: RemoteVerifier, publisher: Publisher, access_token: str, clock: Clock
) -> None:
    for elapsed, fetches in ((0, 1), (599, 1), (1, 2), (10, 2)):
        clock.now += elapsed
        verifier.verify(access_token)
        assert publisher.fetches == fetches


def test_key_that_is_new_is_fetched_at_a_bounded_rate(
    verifier: RemoteVerifier, publisher: Publisher, world: World, clock: Clock
) -> None:
    verifier.verify(world.access_token)
    new_key = generate_jwk("ES256")
    publisher.keys += public_jwks([new_key])["keys"]
    unknown = world.signed(header={"kid": new_key.kid})
    for elapsed, fetches in ((0, 1), (29, 1), (1, 2), (0, 2)):
        clock.now += elapsed
        with pytest.raises(InvalidToken):
            verifier.verify(unknown)
        assert publisher.fetches == fetches


def test_old_keys_stay_good_while_the_issuer_is_down(
    verifier: RemoteVerifier, publisher: Publisher, access_token: str, clock: Clock
) -> None:
    verifier.verify(access_token)
    publisher.is_down = True
    clock.now += 3600
    assert verifier.verify(access_token).resource == RESOURCE


def test_unknown_key_is_not_called_invalid_while_the_issuer_is_down(
    verifier: RemoteVerifier, publisher: Publisher, world: World, clock: Clock
) -> None:
    verifier.verify(world.access_token)
    publisher.is_down = True
    clock.now += 60
    with pytest.raises(TemporarilyUnavailable):
        verifier.verify(world.signed(header={"kid": "new"}))


@pytest.mark.requirement("resource-fails-closed")
def test_nothing_is_taken_before_any_key_was_fetched_and_soon_after_it_is(
    verifier: RemoteVerifier, publisher: Publisher, access_token: str, clock: Clock
) -> None:
    publisher.is_down = True
    with pytest.raises(TemporarilyUnavailable):
        verifier.verify(access_token)
    publisher.is_down = False
    with pytest.raises(TemporarilyUnavailable):
        verifier.verify(access_token)
    clock.now += 5
    assert verifier.verify(access_token).resource == RESOURCE


@pytest.mark.parametrize(
    "document",
    [
        {"issuer": "https://elsewhere.example", "jwks_uri": f"{ISSUER}/jwks"},
        {"issuer": ISSUER},
        {},
        [],
        None,
    ],
)
def test_metadata_that_cannot_be_trusted_brings_no_keys(
    document: Any, verifier: RemoteVerifier, publisher: Publisher, access_token: str
) -> None:
    publisher.metadata = document
    with pytest.raises(TemporarilyUnavailable):
        verifier.verify(access_token)
    assert publisher.fetches == 0


@pytest.mark.parametrize(
    "entry",
    [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "x", "alg": "HS256"},
        {"kty": "RSA", "kid": "x", "alg": "RS256", "use": "enc"},
        {"kty": "RSA", "kid": "x", "alg": "RS256"},
        {"kty": "RSA", "kid": "x", "alg": "RS256", "n": "", "e": "AQAB"},
        {"kty": "RSA", "kid": "x", "alg": "RS256", "n": 7, "e": ["AQAB"]},
        {"kty": "EC", "kid": "x", "alg": "ES256", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "kid": "x", "alg": "ES256", "crv": "P-0", "x": "AA", "y": "AA"},
        {"kty": "unheard of", "kid": "x", "alg": "RS256"},
        {"kty": "RSA"},
        "a key",
        None,
    ],
)
def test_key_that_cannot_be_used_is_no_reason_to_do_without_the_others(
    entry: Any, verifier: RemoteVerifier, publisher: Publisher, world: World
) -> None:
    publisher.keys = [entry, *publisher.keys]
    assert verifier.verify(world.access_token).resource == RESOURCE
    with pytest.raises(InvalidToken):
        verifier.verify(world.signed(header={"kid": "x"}))


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"<html>Sign in</html>",
        b"[]",
        b'{"keys": {}}',
        b'{"keys": []}',
        b'{"keys": null}',
        b" " * 300_000,
        b"[" * 100_000,
        json.dumps({"keys": [{"kid": f"{n}", "kty": "oct"} for n in range(9_000)]}).encode(),
    ],
    ids=lambda answer: repr(answer)[:20],
)
def test_answer_without_usable_keys_costs_neither_the_old_ones_nor_much(
    answer: bytes, verifier: RemoteVerifier, publisher: Publisher, world: World, clock: Clock
) -> None:
    verifier.verify(world.access_token)
    publisher.answer = answer
    clock.now += 600
    assert verifier.verify(world.access_token)
    with pytest.raises(TemporarilyUnavailable):
        verifier.verify(world.signed(header={"kid": "new"}))
    publisher.answer = None
    clock.now += 5
    with pytest.raises(InvalidToken):
        verifier.verify(world.signed(header={"kid": "new"}))


def test_flood_of_made_up_keys_is_one_fetch_in_thirty_seconds(
    verifier: RemoteVerifier, publisher: Publisher, world: World, clock: Clock
) -> None:
    verifier.verify(world.access_token)
    for second in range(60):
        clock.now += 1
        for number in range(3):
            with pytest.raises(InvalidToken):
                verifier.verify(world.signed(header={"kid": f"{second}-{number}"}))
    assert publisher.fetches == 3
    assert verifier.verify(world.access_token)


def test_made_up_keys_hold_no_threads_while_the_issuer_hangs(
    verifier: RemoteVerifier, publisher: Publisher, world: World, clock: Clock
) -> None:
    verifier.verify(world.access_token)
    clock.now += 60
    unknown = world.signed(header={"kid": "made up"})
    begun, released = threading.Event(), threading.Event()
    publisher.hang = lambda: (begun.set(), released.wait(30))

    def verify_unknown() -> None:
        with pytest.raises(InvalidToken):
            verifier.verify(unknown)

    thread = threading.Thread(target=verify_unknown)
    thread.start()
    assert begun.wait(30)
    # The fetch has taken a second by now. Whoever comes later would wait for `released` if they waited at all.
    clock.now += 1
    for _ in range(20):
        with pytest.raises(TemporarilyUnavailable):
            verifier.verify(unknown)
        assert verifier.verify(world.access_token)
    released.set()
    thread.join(30)
    assert publisher.fetches == 2


def test_issuer_with_a_path_has_its_metadata_inserted_before_it(access_token: str) -> None:
    asked: list[str] = []

    def http(url: str) -> bytes:
        asked.append(url)
        raise OSError

    with pytest.raises(TemporarilyUnavailable):
        RemoteVerifier("https://example.com/auth", RESOURCE, http=http).verify(access_token)
    assert asked == ["https://example.com/.well-known/oauth-authorization-server/auth"]


@pytest.fixture
def redirecting_server() -> Iterator[str]:
    """A server that sends everybody elsewhere."""

    class Redirect(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(302)
            self.send_header("Location", "https://elsewhere.example/")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base class gives
            return

    server = HTTPServer(("127.0.0.1", 0), Redirect)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def test_redirect_to_elsewhere_is_not_followed(redirecting_server: str, access_token: str) -> None:
    with pytest.raises(TemporarilyUnavailable):
        RemoteVerifier(redirecting_server, RESOURCE).verify(access_token)


def test_it_verifies_in_a_process_without_django(access_token: str, signing_key: SigningJwk) -> None:
    """The child imports Django nowhere, and has no settings."""
    program = """
import json, sys
from mcp_oidc.resource.remote import RemoteVerifier
issuer, resource, token, jwks = json.load(sys.stdin)
documents = {
    f"{issuer}/.well-known/oauth-authorization-server": {"issuer": issuer, "jwks_uri": f"{issuer}/jwks"},
    f"{issuer}/jwks": jwks,
}
documents[f"{issuer}/.well-known/oauth-authorization-server"]["introspection_endpoint"] = f"{issuer}/introspect"
documents[f"{issuer}/.well-known/oauth-authorization-server"]["token_endpoint"] = f"{issuer}/token"
documents[f"{issuer}/introspect"] = {"active": True}
documents[f"{issuer}/token"] = {
    "access_token": "of the provider",
    "token_type": "Bearer",
    "issued_token_type": "urn:ietf:params:oauth:token-type:access_token",
}
http = lambda url, form=None, headers=None: json.dumps(documents[url]).encode()
verifier = RemoteVerifier(issuer, resource, client_id="tools", client_secret="secret", http=http)
principal = verifier.verify(token)
print(principal.resource, verifier.get_idp_tokens(principal).access_token)
print([name for name in sys.modules if name.split(".")[0] in ("django", "rest_framework", "oauth2_provider", "mcp")])
"""
    given = json.dumps([ISSUER, RESOURCE, access_token, public_jwks([signing_key])])
    done = subprocess.run(
        [sys.executable, "-c", program], input=given, env={}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [f"{RESOURCE} of the provider", "[]"]
