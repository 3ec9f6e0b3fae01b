"""`RemoteVerifier` that asks the issuer: what was taken away is refused, soon, and nothing is taken unasked."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from django.test import Client as Browser

from mcp_oidc.core.clients import Registration
from mcp_oidc.core.revocation import block_client, revoke_connection
from mcp_oidc.errors import InvalidToken, TemporarilyUnavailable
from mcp_oidc.models import Connection
from mcp_oidc.resource import remote_introspection
from mcp_oidc.resource.remote import RemoteVerifier
from tests.factories import ISSUER, RESOURCE, add_resource_server
from tests.resource.clocks import Clock
from tests.resource.refusals import BAD_TOKENS, DEAD_TOKENS
from tests.resource.worlds import Issue, World
from tests.server.authorizations import post_form

pytestmark = pytest.mark.django_db

METADATA = f"{ISSUER}/.well-known/oauth-authorization-server"


class Issuer:
    """The server itself, as `http` reaches it: its documents and its introspection endpoint."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        # In the place of its answer: bytes, or an exception.
        self.fault: bytes | Exception | None = None
        self.metadata: dict[str, Any] = {}

    def __call__(self, url: str, *, form: Mapping[str, str] | None = None, headers: Mapping[str, str] = {}) -> bytes:
        path = url.removeprefix(ISSUER)
        if form is None:
            document = Browser().get(path).json()
            return json.dumps({**document, **self.metadata} if url == METADATA else document).encode()
        self.asked.append(form["token"])
        if isinstance(self.fault, Exception):
            raise self.fault
        if self.fault is not None:
            return self.fault
        response = post_form(path, dict(form), Authorization=headers["Authorization"])
        if response.status_code == 401:
            raise PermissionError
        assert response.status_code == 200
        return response.content


@pytest.fixture
def server(db: None) -> Registration:
    """The resource server of /mcp, as the issuer knows it."""
    return add_resource_server("/mcp")


@pytest.fixture
def issuer() -> Issuer:
    return Issuer()


Make = Callable[..., RemoteVerifier]


@pytest.fixture
def make(server: Registration, issuer: Issuer) -> Make:
    """Makes a verifier of that resource server."""

    def make_verifier(**options: Any) -> RemoteVerifier:
        given = {"client_id": server.client.client_id, "client_secret": server.secret, "http": issuer, **options}
        return RemoteVerifier(ISSUER, RESOURCE, **given)

    return make_verifier


def test_good_token_is_taken_and_says_who_calls(make: Make, world: World) -> None:
    principal = make().verify(world.access_token)
    assert (principal.subject, principal.resource) == (str(world.identity.subject), RESOURCE)
    assert (principal.scopes, principal.claims["jti"]) == (("openid", "mcp"), world.claims["jti"])


@pytest.mark.requirement("resource-refuses-bad-tokens")
@pytest.mark.parametrize("dead_token", DEAD_TOKENS, ids=lambda row: row.__name__)
def test_token_that_only_the_issuer_knows_to_be_dead_is_refused(
    dead_token: Callable[[World], str], make: Make, world: World
) -> None:
    verifier = make(cache_seconds=0)
    assert verifier.verify(world.access_token)
    token = dead_token(world)
    with pytest.raises(InvalidToken):
        verifier.verify(token)


@pytest.mark.requirement("resource-refuses-bad-tokens")
@pytest.mark.parametrize("bad_token", BAD_TOKENS, ids=lambda row: row.__name__)
def test_bad_token_is_refused_without_asking(
    bad_token: Callable[[World], str], make: Make, issuer: Issuer, world: World
) -> None:
    verifier, token = make(), bad_token(world)
    with pytest.raises(InvalidToken):
        verifier.verify(token)
    assert issuer.asked == []


@pytest.mark.requirement("remote-revocation")
def test_revocation_shows_at_the_next_call_without_a_cache(make: Make, issuer: Issuer, access_token: str) -> None:
    verifier = make(cache_seconds=0)
    assert verifier.verify(access_token)
    revoke_connection(Connection.objects.get().pk, "test")
    with pytest.raises(InvalidToken):
        verifier.verify(access_token)
    assert issuer.asked == [access_token] * 2


@pytest.mark.requirement("remote-revocation")
def test_revocation_shows_as_soon_as_the_answer_is_too_old(
    make: Make, issuer: Issuer, access_token: str, clock: Clock
) -> None:
    verifier = make(cache_seconds=5)
    verifier.verify(access_token)
    revoke_connection(Connection.objects.get().pk, "test")
    clock.now += 4.9
    assert verifier.verify(access_token)
    clock.now += 0.1
    for elapsed, asked in ((0, 2), (4.9, 2), (0.1, 3)):
        clock.now += elapsed
        # The answer that it is dead is remembered as long.
        with pytest.raises(InvalidToken):
            verifier.verify(access_token)
        assert len(issuer.asked) == asked


def test_answer_ages_from_the_moment_of_the_question(
    make: Make, issuer: Issuer, access_token: str, clock: Clock
) -> None:
    def slowly(*args: Any, **asked: Any) -> bytes:
        answer = issuer(*args, **asked)
        clock.now += 4
        return answer

    verifier = make(cache_seconds=5, http=slowly)
    verifier.verify(access_token)
    clock.now += 1
    verifier.verify(access_token)
    assert len(issuer.asked) == 2


def test_answer_is_kept_no_longer_than_its_token_lives(
    make: Make, issuer: Issuer, world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    verifier, expiry = make(cache_seconds=60), world.claims["exp"]
    monkeypatch.setattr(remote_introspection.time, "time", lambda: expiry - 2.0)
    for elapsed, asked in ((0, 1), (1.9, 1), (0.1, 2)):
        clock.now += elapsed
        verifier.verify(world.access_token)
        assert len(issuer.asked) == asked


def test_answers_are_kept_of_so_many_tokens_and_the_oldest_is_forgotten(
    make: Make, issuer: Issuer, issue: Issue, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote_introspection, "MAX_REMEMBERED", 2)
    verifier = make(cache_seconds=600)
    first, second, third = (issue().access_token for _ in range(3))
    for token in (first, second, third, third, second, first, third):
        verifier.verify(token)
    assert issuer.asked == [first, second, third, first]


def test_each_token_is_asked_about_by_itself(make: Make, issue: Issue, clock: Clock) -> None:
    verifier = make()
    first, second = issue().access_token, issue().access_token
    verifier.verify(first)
    revoke_connection(Connection.objects.order_by("created_at")[1].pk, "test")
    with pytest.raises(InvalidToken):
        verifier.verify(second)
    assert verifier.verify(first)


@pytest.mark.requirement("introspection-seen")
@pytest.mark.parametrize(("by_introspection", "seen"), [(True, 1), (False, 0)])
def test_connection_counts_as_seen_only_where_the_issuer_is_asked(
    make: Make, access_token: str, by_introspection: bool, seen: int
) -> None:
    verifier = make() if by_introspection else make(client_id="", client_secret="")
    verifier.verify(access_token)
    assert Connection.objects.get().seen_generation == seen


FAULTS: list[bytes | Exception] = [
    ConnectionRefusedError(),
    TimeoutError(),
    OSError("status 500"),
    PermissionError(),
    b"",
    b"<html>",
    b"[]",
    b"{}",
    b'{"active": "true"}',
    b'{"active": 1}',
    b'{"active": null}',
    b"[" * 100_000,
]


@pytest.mark.requirement("resource-fails-closed")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: repr(fault)[:24])
def test_nothing_is_taken_while_the_issuer_does_not_say_and_all_is_well_right_after(
    make: Make, issuer: Issuer, access_token: str, fault: bytes | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = make(cache_seconds=0)
    for _ in range(2):
        issuer.fault = fault
        for _ in range(3):
            with pytest.raises(TemporarilyUnavailable):
                verifier.verify(access_token)
        issuer.fault = None
        assert verifier.verify(access_token)
    # Of each outage, the log tells once.
    assert [record.levelname for record in caplog.records if record.name == "mcp_oidc.resource"].count("WARNING") == 2


@pytest.mark.requirement("resource-fails-closed")
def test_answer_that_is_young_enough_bridges_an_outage_and_no_other(
    make: Make, issuer: Issuer, access_token: str, clock: Clock
) -> None:
    verifier = make(cache_seconds=5)
    verifier.verify(access_token)
    issuer.fault = TimeoutError()
    clock.now += 4.9
    assert verifier.verify(access_token)
    clock.now += 0.1
    with pytest.raises(TemporarilyUnavailable):
        verifier.verify(access_token)


def test_issuer_that_hangs_holds_one_thread(make: Make, issuer: Issuer, access_token: str) -> None:
    begun, released = threading.Event(), threading.Event()

    def hanging(url: str, **asked: Any) -> bytes:
        if asked and issuer.fault is None:
            begun.set()
            released.wait(10)
            raise TimeoutError
        return issuer(url, **asked)

    verifier = make(http=hanging)
    issuer.fault = TimeoutError()
    # Its keys are there, and it is known to be down.
    with pytest.raises(TemporarilyUnavailable):
        verifier.verify(access_token)
    issuer.fault = None
    outcomes: list[Any] = []

    def verify_in_a_thread() -> None:
        try:
            outcomes.append(verifier.verify(access_token))
        except TemporarilyUnavailable as error:
            outcomes.append(error)

    thread = threading.Thread(target=verify_in_a_thread)
    thread.start()
    assert begun.wait(10)
    started = time.monotonic()
    for _ in range(20):
        with pytest.raises(TemporarilyUnavailable):
            verifier.verify(access_token)
    assert time.monotonic() - started < 5
    assert len(issuer.asked) == 1
    released.set()
    thread.join(10)
    assert isinstance(outcomes[0], TemporarilyUnavailable)


@pytest.mark.requirement("resource-fails-closed")
def test_resource_server_that_was_blocked_takes_nothing(
    make: Make, server: Registration, access_token: str, caplog: pytest.LogCaptureFixture
) -> None:
    verifier = make(cache_seconds=0)
    verifier.verify(access_token)
    block_client(server.client)
    with pytest.raises(TemporarilyUnavailable):
        verifier.verify(access_token)
    assert "refuses the client id and secret" in caplog.text


@pytest.mark.requirement("resource-fails-closed")
@pytest.mark.parametrize(
    "endpoint", [None, "", 7, "https://elsewhere.example/token/introspection", "/token/introspection"]
)
def test_secret_and_token_go_to_the_issuers_own_origin_only(
    make: Make, issuer: Issuer, access_token: str, endpoint: Any
) -> None:
    issuer.metadata = {"introspection_endpoint": endpoint}
    with pytest.raises(TemporarilyUnavailable):
        make().verify(access_token)
    assert issuer.asked == []


@pytest.mark.parametrize("given", [{"client_id": ""}, {"client_secret": ""}])
def test_id_and_secret_belong_together(make: Make, given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="both client_id and client_secret"):
        make(**given)


@pytest.mark.requirement("log-no-secrets")
def test_neither_secret_nor_token_is_shown(
    make: Make, server: Registration, issuer: Issuer, access_token: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    verifier = make(cache_seconds=0)
    shown = [repr(verifier), repr(vars(verifier))]
    for issuer.fault in (*FAULTS, OSError(f"could not send {server.secret} {access_token}")):
        with pytest.raises(TemporarilyUnavailable) as refusal:
            verifier.verify(access_token)
        shown += [repr(refusal.value), refusal.value.log, json.dumps(refusal.value.as_dict())]
    written = "\n".join([*shown, caplog.text])
    for secret in (str(server.secret), access_token, access_token.split(".")[2]):
        assert secret not in written


class Handler(BaseHTTPRequestHandler):
    """An issuer on a real socket, of which `documents` are published and `answers` given, in turn."""

    protocol_version = "HTTP/1.1"
    server: Any

    def do_GET(self) -> None:
        self._send(200, json.dumps(self.server.documents[self.path]).encode())

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests.append((self.path, self.headers["Authorization"], body, self.client_address))
        self._send(*self.server.answers.pop(0))

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Location", f"{self.server.url}/elsewhere")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base class gives
        return


@contextmanager
def listening() -> Iterator[Any]:
    """An issuer on a port of its own, with the keys of the server under test."""
    issuer: Any = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{issuer.server_port}"
    issuer.requests, issuer.answers = [], []
    metadata = {"jwks_uri": f"{issuer.url}/jwks", "introspection_endpoint": f"{issuer.url}/introspect"}
    issuer.documents = {
        "/.well-known/oauth-authorization-server": {"issuer": issuer.url, **metadata},
        "/jwks": Browser().get("/jwks").json(),
    }
    thread = threading.Thread(target=issuer.serve_forever)
    thread.start()
    try:
        yield issuer
    finally:
        issuer.shutdown()
        thread.join()
        issuer.server_close()


@pytest.mark.requirement("resource-fails-closed")
def test_requests_are_pooled_and_bounded_and_follow_no_redirect(issue: Issue, caplog: pytest.LogCaptureFixture) -> None:
    with listening() as issuer:
        token = issue(issuer=issuer.url).access_token
        verifier = RemoteVerifier(issuer.url, RESOURCE, client_id="tools", client_secret="a/b c", cache_seconds=0)
        yes, no = b'{"active": true}', b'{"active": false}'
        bad = [(401, yes), (302, yes), (307, yes), (500, yes), (404, yes), (201, yes), (200, b" " * 300_000 + yes)]
        issuer.answers = [(200, yes), (200, yes), (200, no), *bad]
        assert verifier.verify(token)
        assert verifier.verify(token)
        with pytest.raises(InvalidToken):
            verifier.verify(token)
        for _ in bad:
            with pytest.raises(TemporarilyUnavailable):
                verifier.verify(token)
    paths, credentials, bodies, senders = zip(*issuer.requests, strict=True)
    assert set(paths) == {"/introspect"}
    # RFC 6749 2.3.1: form encoded, then joined. "tools:a%2Fb+c"
    assert set(credentials) == {"Basic dG9vbHM6YSUyRmIrYw=="}
    assert set(bodies) == {f"token={token}&token_type_hint=access_token".encode()}
    assert len(set(senders[:3])) == 1
    assert "refuses the client id and secret" in caplog.text
    assert token not in caplog.text
