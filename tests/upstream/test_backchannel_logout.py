"""Back-channel logout: what a logout token ends, which ones are refused, and that nothing is used up by an outage."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.http import HttpResponse
from django.test import Client
from django.utils import timezone

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.identities import sign_in
from mcp_oidc.core.sessions import DjangoSession, hash_idp_session, open_session
from mcp_oidc.core.upstream_tokens import read_tokens
from mcp_oidc.models import AbstractClient, Connection, Event, Identity, LoginSession, UsedAssertion
from mcp_oidc.protocol.jwks import SigningJwk
from tests.core.parallel import in_parallel
from tests.factories import open_for
from tests.idp import Idp
from tests.idp_tokens import to_base64
from tests.server.authorizations import answer_of, authorize_url, json_of, post_form, press
from tests.server.grants import Grant, grant
from tests.upstream.browser import Browser, configure_upstream

PATH = "/oauth/backchannel-logout"
EVENT = "http://schemas.openid.net/event/backchannel-logout"
SID = "session-at-the-idp"

Changes = dict[str, Any]


@pytest.fixture
def granted(browser: Browser, public_client: AbstractClient, signing_key: SigningJwk) -> Grant:
    """What a client of alice holds, who approved it in the session SID at the provider."""
    browser.log_in("alice")
    return grant(browser.client, public_client)


@pytest.fixture
def at_idp(idp: Idp, public_client: AbstractClient, signing_key: SigningJwk, caller: Caller) -> Idp:
    """A provider at which alice has logged in, and approved one client in the session SID."""
    connect(idp, "alice", public_client)
    return idp


def connect(idp: Idp, sub: str, client: AbstractClient, *, sid: str = SID) -> None:
    """A login of `sub`, and a connection that was approved in it."""
    identity = sign_in("upstream", idp.issuer, {"sub": sub}, caller=Caller())
    row = open_session(identity, DjangoSession("k" * 32, 60), authenticated_at=timezone.now(), sid=sid, replaces=None)
    opened = open_for(client, identity, caller=Caller())
    Connection.objects.filter(pk=opened.connection.pk).update(idp_session=row.idp_session)


def log_out(logout_token: str) -> HttpResponse:
    """What the provider sends."""
    return post_form(PATH, {"logout_token": logout_token})


def living() -> tuple[list[str], list[str]]:
    """Whose login sessions and connections there are."""
    sessions = LoginSession.objects.filter(ended_at=None).values_list("identity__sub", flat=True)
    connections = Connection.objects.filter(revoked_at=None).values_list("identity__sub", flat=True)
    return sorted(sessions), sorted(connections)


NOTHING: tuple[list[str], list[str]] = ([], [])
ALICE = (["alice"], ["alice"])


# What ends.


@pytest.mark.requirement("backchannel-logout")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("named", [{"sub": "alice"}, {"sub": None, "sid": SID}, {"sub": "alice", "sid": SID}])
def test_logout_ends_the_login_the_session_of_the_site_and_what_was_approved(
    browser: Browser, idp: Idp, granted: Grant, named: Changes
) -> None:
    bob = Browser(idp)
    idp.session = "that of bob"
    bob.log_in("bob")
    of_bob = grant(bob.client, granted.client)
    answer = log_out(idp.logout_token(**named))
    assert json_of(answer, 200) == {}
    assert answer["Cache-Control"] == "no-store"
    granted.require_dead()
    assert browser.who() == {"user": None, "django_user": ""}
    of_bob.require_alive()
    assert bob.who()["sub"] == "bob"
    told = Event.objects.filter(reason="idp_logout").order_by("pk").values_list("kind", "user__mcp_identities__sub")
    assert list(told) == [("logout", "alice"), ("connection.revoked", "alice"), ("connection.revoked", "alice")]
    # Nothing is left that anybody might look for.
    assert [row.identity.sub for row in LoginSession.objects.all()] == ["bob"]


def test_logout_of_one_session_leaves_the_others_of_its_user(at_idp: Idp, public_client: AbstractClient) -> None:
    connect(at_idp, "alice", public_client, sid="telephone")
    assert log_out(at_idp.logout_token("alice", sid="telephone")).status_code == 200
    assert living() == ALICE
    assert LoginSession.objects.get(ended_at=None).idp_session == hash_idp_session("upstream", at_idp.issuer, SID)


def test_logout_of_one_session_ends_logins_of_its_user_that_may_have_been_in_it(
    at_idp: Idp, public_client: AbstractClient
) -> None:
    # The provider named no session at the login.
    connect(at_idp, "alice", public_client, sid="")
    connect(at_idp, "bob", public_client, sid="")
    assert log_out(at_idp.logout_token(None, sid="telephone")).status_code == 200
    assert living() == (["alice", "alice", "bob"], ["alice", "alice", "bob"])
    assert log_out(at_idp.logout_token("alice", sid="telephone")).status_code == 200
    assert living() == (["alice", "bob"], ["alice", "bob"])


def test_logout_of_a_user_ends_every_session(at_idp: Idp, public_client: AbstractClient) -> None:
    connect(at_idp, "alice", public_client, sid="telephone")
    connect(at_idp, "alice", public_client, sid="")
    connect(at_idp, "bob", public_client)
    assert log_out(at_idp.logout_token("alice")).status_code == 200
    assert living() == (["bob"], ["bob"])


@pytest.mark.parametrize(
    "named",
    [
        {"sub": "bob", "sid": SID},
        {"sub": "alice", "sid": "of-nobody"},
        {"sub": "nobody", "sid": SID},
        {"sub": "nobody"},
        {"sub": "Alice"},
        {"sub": None, "sid": SID.upper()},
    ],
)
def test_logout_of_whom_we_do_not_know_is_fine_and_ends_nothing(
    at_idp: Idp, public_client: AbstractClient, named: Changes
) -> None:
    connect(at_idp, "bob", public_client, sid="that of bob")
    assert log_out(at_idp.logout_token(**named)).status_code == 200
    assert living() == (["alice", "bob"], ["alice", "bob"])


def test_second_logout_of_a_session_is_fine_and_tells_nothing(at_idp: Idp) -> None:
    for _ in range(2):
        assert log_out(at_idp.logout_token("alice")).status_code == 200
    assert Event.objects.filter(reason="idp_logout").count() == 2


def test_session_and_subject_of_another_provider_are_not_ended(
    at_idp: Idp, public_client: AbstractClient, settings: LazySettings
) -> None:
    configure_upstream(settings, {**at_idp.upstream, "NAME": "another"})
    for named in ({"sub": "alice"}, {"sub": None, "sid": SID}):
        assert log_out(at_idp.logout_token(**named)).status_code == 200
    assert living() == ALICE


def test_what_was_approved_is_spared_by_the_end_of_a_session_if_the_setting_says_so(
    at_idp: Idp, settings: LazySettings
) -> None:
    configure_upstream(settings, {**at_idp.upstream, "LOGOUT_SPARES_CONNECTIONS": True})
    for named in ({"sub": None, "sid": SID}, {"sub": "alice", "sid": SID}):
        assert log_out(at_idp.logout_token(**named)).status_code == 200
        assert living() == ([], ["alice"])
    # All of a user's is another matter: mostly, somebody has taken their access away.
    assert log_out(at_idp.logout_token("alice")).status_code == 200
    assert living() == NOTHING


@pytest.mark.django_db(transaction=True)
def test_consent_page_that_was_open_at_the_logout_approves_nothing(
    browser: Browser, idp: Idp, granted: Grant, public_client: AbstractClient
) -> None:
    page = browser.client.get(authorize_url(public_client))
    log_out(idp.logout_token("alice"))
    assert press(browser.client, page, "allow")["Location"].startswith(f"{idp.issuer}/authorize")
    assert not Connection.objects.filter(revoked_at=None).exists()


@pytest.mark.requirement("backchannel-logout")
def test_logout_in_the_middle_of_an_approval_is_in_time(
    browser: Browser, idp: Idp, public_client: AbstractClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def remember(*args: Any, **kwargs: Any) -> None:
        assert log_out(idp.logout_token("alice")).status_code == 200

    browser.log_in("alice")
    page = browser.client.get(authorize_url(public_client))
    # After it was looked who is there, and before the code is made.
    monkeypatch.setattr("mcp_oidc.server.authorization.remember_consent", remember)
    assert answer_of(press(browser.client, page, "allow"))["error"] == "access_denied"
    assert not Connection.objects.exists()


STORES = {
    "db": "django.contrib.sessions.backends.db",
    "cache": "django.contrib.sessions.backends.cache",
    "cached_db": "django.contrib.sessions.backends.cached_db",
    "file": "django.contrib.sessions.backends.file",
}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("store", STORES.values(), ids=STORES)
def test_any_store_of_sessions_is_emptied(
    browser: Browser, idp: Idp, settings: LazySettings, tmp_path: Path, store: str
) -> None:
    settings.SESSION_ENGINE, settings.SESSION_FILE_PATH = store, str(tmp_path)
    browser.log_in()
    key = browser.client.cookies["sessionid"].value
    assert import_module(store).SessionStore(key).load()
    log_out(idp.logout_token("alice"))
    assert not import_module(store).SessionStore(key).load()
    assert browser.who() == {"user": None, "django_user": ""}


@pytest.mark.django_db(transaction=True)
def test_session_that_only_the_browser_has_is_no_login_any_more(
    browser: Browser, idp: Idp, settings: LazySettings
) -> None:
    settings.SESSION_ENGINE = "django.contrib.sessions.backends.signed_cookies"
    browser.log_in()
    assert browser.who()["sub"] == "alice"
    log_out(idp.logout_token("alice"))
    assert browser.who() == {"user": None, "django_user": "alice"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_seen", [True, False])
def test_session_whose_key_has_changed_is_no_login_any_more(browser: Browser, idp: Idp, *, is_seen: bool) -> None:
    browser.log_in()
    session = browser.client.session
    session.cycle_key()
    browser.client.cookies["sessionid"] = session.session_key
    if is_seen:
        assert browser.who()["sub"] == "alice"
    log_out(idp.logout_token("alice"))
    # Deleted under its new key if we have seen that, and refused by us in any case.
    assert browser.who() == {"user": None, "django_user": "" if is_seen else "alice"}


# What is refused.

WRONG_CLAIMS: dict[str, Callable[[int], Changes]] = {
    "another issuer": lambda now: {"iss": "https://evil.example"},
    "no issuer": lambda now: {"iss": None},
    "another audience": lambda now: {"aud": "somebody-else"},
    "no audience": lambda now: {"aud": None},
    "an audience that is no text": lambda now: {"aud": {"relying:party": True}},
    "expired": lambda now: {"exp": now - 70},
    "an expiry that is no number": lambda now: {"exp": True},
    "an expiry beyond all floats": lambda now: {"exp": 10**400},
    "from the future": lambda now: {"iat": now + 120, "exp": now + 240},
    "too old": lambda now: {"iat": now - 700},
    "no time": lambda now: {"iat": None},
    "a time that is no time": lambda now: {"iat": 1e300},
    "not valid yet": lambda now: {"nbf": now + 120},
    "a nonce": lambda now: {"nonce": "n"},
    "an empty nonce": lambda now: {"nonce": ""},
    "no events": lambda now: {"events": None},
    "events that are a list": lambda now: {"events": [EVENT]},
    "another event": lambda now: {"events": {"http://schemas.openid.net/event/login": {}}},
    "an event that is no object": lambda now: {"events": {EVENT: True}},
    "nobody": lambda now: {"sub": None},
    "an empty subject": lambda now: {"sub": "", "sid": SID},
    "a subject that is no text": lambda now: {"sub": 5},
    "a subject that no database takes": lambda now: {"sub": "ali\0ce", "sid": SID},
    "a lone surrogate": lambda now: {"sub": "\ud800", "sid": SID},
    "an empty session": lambda now: {"sid": ""},
    "a session that is no text": lambda now: {"sid": [SID]},
    "no id": lambda now: {"jti": None},
    "an empty id": lambda now: {"jti": ""},
    "an id that is no text": lambda now: {"jti": 5},
    "an endless id": lambda now: {"jti": "x" * 1001},
    "too much of everything": lambda now: {"padding": "x" * 16_000},
}


def require_refused(answer: HttpResponse, *, whose: tuple[list[str], list[str]] = ALICE) -> None:
    """Refused in terms of the specification, and nothing was ended or used up."""
    assert json_of(answer, 400)["error"] == "invalid_request"
    assert answer["Cache-Control"] == "no-store"
    assert living() == whose
    assert not UsedAssertion.objects.exists()


@pytest.mark.requirement("backchannel-logout-checked")
@pytest.mark.parametrize("wrong", WRONG_CLAIMS.values(), ids=WRONG_CLAIMS)
def test_logout_token_that_is_wrong_is_refused(at_idp: Idp, wrong: Callable[[int], Changes]) -> None:
    require_refused(log_out(at_idp.logout_token(**{"sub": "alice", **wrong(int(time.time()))})))


@pytest.mark.requirement("backchannel-logout-checked")
@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt", "id_token+jwt", "secevent+jwt", "jwt ", ""])
def test_token_of_another_kind_is_refused(at_idp: Idp, typ: str) -> None:
    at_idp.header = {"typ": typ}
    require_refused(log_out(at_idp.logout_token("alice")))
    assert at_idp.requests["jwks"] == 0


@pytest.mark.requirement("backchannel-logout-checked")
@pytest.mark.parametrize("forgery", ["none", "HS256"])
def test_forged_token_is_refused_and_costs_no_request(at_idp: Idp, forgery: str) -> None:
    at_idp.forgery = forgery
    require_refused(log_out(at_idp.logout_token("alice")))
    assert at_idp.requests["jwks"] == 0


@pytest.mark.parametrize("member", ["alg", "typ", "kid", "crit", "jwk", "b64"])
@pytest.mark.parametrize("value", [None, 5, True, ["RS256"], {"a": "b"}])
def test_header_that_makes_no_sense_is_refused(at_idp: Idp, member: str, value: object) -> None:
    _, payload, signature = at_idp.logout_token("alice").split(".")
    header = {"alg": "RS256", "kid": "first", member: value}
    require_refused(log_out(".".join((to_base64(json.dumps(header).encode()), payload, signature))))


def test_token_by_an_algorithm_that_the_provider_does_not_name_is_refused(at_idp: Idp) -> None:
    at_idp.metadata = {"id_token_signing_alg_values_supported": ["ES256"]}
    require_refused(log_out(at_idp.logout_token("alice")))


def test_foreign_keys_are_refused_and_cost_a_bounded_number_of_requests(at_idp: Idp) -> None:
    at_idp.signing_key = "of-somebody-else"
    for number in range(10):
        at_idp.header = {"kid": f"made-up-{number}"}
        require_refused(log_out(at_idp.logout_token("alice")))
    assert at_idp.requests["jwks"] == 2


def test_signature_of_another_token_is_refused(at_idp: Idp) -> None:
    mine, other = at_idp.logout_token("bob"), at_idp.logout_token("alice")
    header, payload, _ = other.split(".")
    require_refused(log_out(".".join((header, payload, mine.rpartition(".")[2]))))


@pytest.mark.requirement("backchannel-logout-checked")
def test_other_tokens_of_the_same_parties_are_refused(browser: Browser, granted: Grant) -> None:
    tokens = read_tokens(Identity.objects.get().pk).tokens
    whose = (["alice"], ["alice", "alice"])
    for token in (tokens.id_token, tokens.access_token, granted.tokens["access_token"], granted.code, "x", "a.b.c.d.e"):
        require_refused(log_out(str(token)), whose=whose)


BODIES = {
    "nothing": b"",
    "another field": b"token=x",
    "an empty one": b"logout_token=",
    "two of them": b"logout_token=%s&logout_token=%s",
    "one megabyte": b"logout_token=" + b"x" * 1_000_000,
    "an endless token": b"logout_token=" + b"x" * 60_000,
    "invalid UTF-8": b"logout_token=%%ff",
}


@pytest.mark.parametrize("body", BODIES.values(), ids=BODIES)
def test_body_without_one_token_of_a_sensible_size_is_refused(at_idp: Idp, body: bytes) -> None:
    token = at_idp.logout_token("alice").encode()
    sent = body % ((token,) * body.count(b"%s")) if b"%" in body else body
    answer = Client(enforce_csrf_checks=True).post(PATH, sent, content_type="application/x-www-form-urlencoded")
    require_refused(answer)


def test_token_elsewhere_than_in_the_form_is_refused(at_idp: Idp) -> None:
    token = at_idp.logout_token("alice")
    require_refused(Client().post(f"{PATH}?logout_token={token}", content_type="application/x-www-form-urlencoded"))
    require_refused(Client().post(PATH, {"logout_token": token}, content_type="application/json"))
    require_refused(Client().post(PATH, {"logout_token": token}))


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE"])
def test_nothing_but_post_is_taken(at_idp: Idp, method: str) -> None:
    answer = Client().generic(method, f"{PATH}?logout_token={at_idp.logout_token('alice')}")
    assert (answer.status_code, answer["Allow"]) == (405, "POST, OPTIONS")
    assert living() == ALICE


def test_server_without_a_provider_has_no_such_endpoint(at_idp: Idp, settings: LazySettings) -> None:
    configure_upstream(settings, {})
    assert json_of(log_out(at_idp.logout_token("alice")), 404)["error"] == "not_found"


# What is taken.


@pytest.mark.parametrize("typ", [None, "JWT", "jwt", "LOGOUT+JWT", "application/logout+jwt"])
def test_token_need_not_say_what_it_is(at_idp: Idp, typ: str | None) -> None:
    at_idp.header = {"typ": typ}
    assert log_out(at_idp.logout_token("alice")).status_code == 200
    assert living() == NOTHING


@pytest.mark.parametrize(
    "changes",
    [
        lambda now, idp: {"aud": ["another-client", idp.client_id]},
        lambda now, idp: {"iat": now + 30},
        lambda now, idp: {"iat": now - 500, "exp": now - 30},
        lambda now, idp: {"exp": now + 10_000_000},
        lambda now, idp: {"exp": None},
        lambda now, idp: {"events": {EVENT: {"more": 1}, "revoke_offline_access": True}, "trace_id": "x"},
    ],
)
def test_token_that_a_provider_may_send_is_taken(at_idp: Idp, changes: Callable[[int, Idp], Changes]) -> None:
    assert log_out(at_idp.logout_token("alice", **changes(int(time.time()), at_idp))).status_code == 200
    assert living() == NOTHING


@pytest.mark.parametrize("sid", ["s" * 3000, "é ü", "%00 '\"", "A" * 255])
def test_session_may_have_any_name(at_idp: Idp, public_client: AbstractClient, sid: str) -> None:
    connect(at_idp, "alice", public_client, sid=sid)
    assert log_out(at_idp.logout_token(None, sid=sid)).status_code == 200
    assert living() == ALICE
    assert LoginSession.objects.filter(ended_at=None, idp_session=hash_idp_session("upstream", at_idp.issuer, SID))


@pytest.mark.parametrize("algorithm", ["ES256", "PS256", "EdDSA"])
def test_token_is_signed_by_whatever_the_provider_signs_with(at_idp: Idp, algorithm: str) -> None:
    at_idp.algorithm = algorithm
    assert log_out(at_idp.logout_token("alice")).status_code == 200
    assert living() == NOTHING


# Once.


@pytest.mark.requirement("backchannel-logout-once")
def test_replay_is_refused_and_ends_no_later_login(at_idp: Idp, public_client: AbstractClient) -> None:
    token = at_idp.logout_token("alice")
    assert log_out(token).status_code == 200
    connect(at_idp, "alice", public_client)
    assert json_of(log_out(token), 400)["error"] == "invalid_request"
    # Nor does the same id in another token.
    again = at_idp.logout_token("alice", jti="the same")
    assert log_out(again).status_code == 200
    connect(at_idp, "alice", public_client)
    assert log_out(at_idp.logout_token("alice", jti="the same")).status_code == 400
    assert living() == ALICE


@pytest.mark.parametrize("token_id", ["x" * 1000, "é", "\0", "\ud800"])
def test_id_may_be_any_text(at_idp: Idp, token_id: str) -> None:
    statuses = [log_out(at_idp.logout_token("alice", jti=token_id)).status_code for _ in range(2)]
    assert statuses == [200, 400]


@pytest.mark.requirement("backchannel-logout-once")
def test_id_is_remembered_for_as_long_as_its_token_is_good_and_no_longer_than_a_token_may_be_old(at_idp: Idp) -> None:
    now = int(time.time())
    log_out(at_idp.logout_token("alice", iat=now, exp=now + 100))
    log_out(at_idp.logout_token("alice", iat=now, exp=now + 10_000_000))
    log_out(at_idp.logout_token("alice", iat=now, exp=None))
    remembered = sorted(row.expires_at.timestamp() - now for row in UsedAssertion.objects.all())
    # Counted from when each was used, which a busy machine may do a little later.
    assert remembered == pytest.approx([100 + 61, 600 + 61, 600 + 61], abs=20)


@pytest.mark.requirement("backchannel-logout-once")
@pytest.mark.django_db(transaction=True)
def test_of_replays_in_parallel_one_is_taken(at_idp: Idp) -> None:
    token = at_idp.logout_token("alice")
    answers = in_parallel(lambda: log_out(token).status_code)
    assert sorted(answers) == [200] + [400] * 7
    assert Event.objects.filter(kind="logout").count() == 1


@pytest.mark.requirement("backchannel-logout-once")
@pytest.mark.parametrize("fault", [500, "garbage", "close"])
@pytest.mark.parametrize("endpoint", ["jwks", "discovery"])
def test_outage_of_the_provider_is_worth_a_retry_and_uses_nothing_up(
    at_idp: Idp, monkeypatch: pytest.MonkeyPatch, endpoint: str, fault: int | str
) -> None:
    token = at_idp.logout_token("alice")
    at_idp.faults = {endpoint: fault}
    answer = log_out(token)
    assert json_of(answer, 503)["error"] == "temporarily_unavailable"
    assert int(answer["Retry-After"]) > 0
    assert living() == ALICE
    at_idp.faults = {}
    monkeypatch.setattr("mcp_oidc.upstream.documents.FAILURE_PAUSE", 0)
    assert log_out(token).status_code == 200
    assert living() == NOTHING


@pytest.mark.requirement("backchannel-logout-once")
@pytest.mark.django_db(transaction=True)
def test_failure_half_way_uses_nothing_up_and_ends_nothing(at_idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("half-way")

    token = at_idp.logout_token("alice")
    with monkeypatch.context() as patch:
        patch.setattr("mcp_oidc.core.idp_logout.end_connections", fail)
        assert log_out(token).status_code == 500
    assert living() == ALICE
    assert log_out(token).status_code == 200
    assert living() == NOTHING


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.DEBUG):
        yield caplog


def test_log_says_why_a_token_was_refused_and_holds_nothing_of_it(at_idp: Idp, log: pytest.LogCaptureFixture) -> None:
    tokens = [at_idp.logout_token("alice", aud="x"), at_idp.logout_token("alice", jti="secret-id")]
    for token in (*tokens, tokens[1]):
        log_out(token)
    assert "the logout token failed the check of aud" in log.text
    assert "the logout token was used before" in log.text
    assert not [part for token in (*tokens, "a.secret-id") for part in token.split(".")[1:] if part in log.text]
