"""The provider's keys: kept, fetched again when one is missing, and never in a flood."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from joserfc.jwk import RSAKey

from mcp_oidc.errors import TemporarilyUnavailable, UpstreamError, UpstreamUnavailable
from mcp_oidc.upstream import documents
from mcp_oidc.upstream.documents import CachedDocument, DocumentState
from mcp_oidc.upstream.jwks import ProviderKeys, parse_keys
from tests.idp import Idp
from tests.server.authorizations import post_form
from tests.upstream.browser import Browser

MINUTE = 60.0


class Clock:
    """The clock of the documents, which a test moves."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("mcp_oidc.upstream.documents.monotonic", clock)
    return clock


def test_keys_and_metadata_are_fetched_once_for_many_logins(browser: Browser, idp: Idp) -> None:
    for _ in range(3):
        assert browser.log_in().status_code == 302
    assert (idp.requests["jwks"], idp.requests["discovery"]) == (1, 1)


def test_keys_and_metadata_are_fetched_again_after_ten_minutes(browser: Browser, idp: Idp, clock: Clock) -> None:
    browser.log_in()
    clock.now += 7 * MINUTE
    browser.log_in()
    assert (idp.requests["jwks"], idp.requests["discovery"]) == (1, 1)
    clock.now += 4 * MINUTE
    browser.log_in()
    assert (idp.requests["jwks"], idp.requests["discovery"]) == (2, 2)


@pytest.mark.requirement("upstream-key-rotation")
def test_rotated_key_is_fetched_at_the_next_login(browser: Browser, idp: Idp) -> None:
    browser.log_in()
    idp.rotate_key()
    assert browser.log_in().status_code == 302
    assert idp.requests["jwks"] == 2


def test_key_that_is_rotated_in_the_middle_of_a_login_is_found(browser: Browser, idp: Idp) -> None:
    browser.log_in()
    location = browser.begin()
    idp.rotate_key()
    assert browser.come_back(idp.log_in(location)).status_code == 302


def test_foreign_key_is_refused_even_with_a_known_id(browser: Browser, idp: Idp) -> None:
    idp.signing_key, idp.header = "foreign", {"kid": "first"}
    assert browser.log_in().status_code == 502


@pytest.mark.requirement("upstream-key-cooldown")
def test_made_up_key_ids_cause_one_fetch_in_thirty_seconds(browser: Browser, idp: Idp, clock: Clock) -> None:
    browser.log_in()
    for number in range(10):
        idp.header = {"kid": f"made up {number}"}
        assert browser.log_in().status_code == 502
    assert idp.requests["jwks"] == 2
    clock.now += 31
    browser.log_in()
    assert idp.requests["jwks"] == 3


@pytest.mark.requirement("upstream-key-cooldown")
def test_made_up_key_of_a_logout_does_not_keep_a_login_from_its_own(browser: Browser, idp: Idp) -> None:
    browser.log_in("alice")
    idp.signing_key = "made up"
    assert post_form("/oauth/backchannel-logout", {"logout_token": idp.logout_token("alice")}).status_code == 400
    idp.rotate_key("second")
    assert Browser(idp).log_in("bob").status_code == 302


def test_withdrawn_key_is_refused_once_the_keys_are_fetched_again(browser: Browser, idp: Idp, clock: Clock) -> None:
    browser.log_in()
    idp.published_keys = ["second"]
    clock.now += 11 * MINUTE
    assert browser.log_in().status_code == 502


def test_known_keys_outlast_an_outage(browser: Browser, idp: Idp, clock: Clock) -> None:
    browser.log_in()
    idp.faults = {"jwks": 500, "discovery": "garbage"}
    clock.now += 11 * MINUTE
    assert browser.log_in().status_code == 302


def test_known_keys_do_not_outlast_a_day(browser: Browser, idp: Idp, clock: Clock) -> None:
    browser.log_in()
    idp.faults = {"jwks": 500}
    clock.now += 25 * 60 * MINUTE
    assert browser.log_in().status_code == 503


def test_look_for_a_key_that_failed_is_repeated_within_seconds(browser: Browser, idp: Idp, clock: Clock) -> None:
    browser.log_in()
    idp.rotate_key()
    idp.faults = {"jwks": 500}
    for _ in range(3):
        # Nobody can tell whether there is such a key.
        assert browser.log_in().status_code == 503
    assert idp.requests["jwks"] == 2
    idp.faults = {}
    clock.now += 4
    assert browser.log_in().status_code == 302


def test_token_without_key_id_is_taken_where_one_key_comes_into_question(browser: Browser, idp: Idp) -> None:
    idp.header = {"kid": None}
    assert browser.log_in().status_code == 302


def test_token_without_key_id_is_refused_where_two_keys_come_into_question(browser: Browser, idp: Idp) -> None:
    idp.header = {"kid": None}
    idp.published_keys = ["first", "second"]
    assert browser.log_in().status_code == 502


def test_key_without_id_is_taken_where_it_is_the_only_one(browser: Browser, idp: Idp) -> None:
    idp.key_members = {"kid": None}
    assert browser.log_in().status_code == 302


def test_keys_without_id_are_refused_where_there_are_two(browser: Browser, idp: Idp) -> None:
    idp.key_members = {"kid": None}
    idp.published_keys = ["first", "second"]
    assert browser.log_in().status_code == 502


@pytest.mark.parametrize(
    "members", [{"use": "enc"}, {"key_ops": ["encrypt"]}, {"kty": "oct", "k": "c2VjcmV0"}, {"n": "AQAB"}, {"n": None}]
)
def test_key_that_is_not_for_signatures_is_not_used(browser: Browser, idp: Idp, members: dict[str, Any]) -> None:
    idp.key_members = members
    assert browser.log_in().status_code == 502


@pytest.mark.parametrize(
    "entry",
    [
        None,
        "a key",
        [],
        {},
        {"kty": "RSA"},
        {"kty": ["RSA"]},
        {"kty": "RSA", "n": 7, "e": "AQAB"},
        {"kty": "EC", "crv": "P-256", "x": "AA", "y": "AA"},
        {"kty": "EC", "crv": {}, "x": "AA", "y": "AA"},
        {"kty": "OKP", "crv": "X25519", "x": "AA"},
        {"kty": "RSA", "use": ["sig"]},
        {"kty": "RSA", "key_ops": "verify"},
    ],
)
def test_what_is_no_key_is_left_out_of_the_set(entry: object) -> None:
    good = RSAKey.generate_key(2048, {"kid": "good"}).as_dict(private=False)
    assert [key.kid for key in parse_keys({"keys": [entry, good]})] == ["good"]


@pytest.mark.parametrize("document", [{}, {"keys": None}, {"keys": {"kty": "RSA"}}])
def test_what_is_no_jwk_set_is_refused(document: dict[str, Any]) -> None:
    with pytest.raises(UpstreamError, match="not a JWK Set"):
        parse_keys(document)


def test_private_members_of_a_published_key_are_not_kept() -> None:
    (key,) = parse_keys({"keys": [RSAKey.generate_key(2048, {"kid": "oops"}).as_dict(private=True)]})
    assert not key.key.is_private


def test_many_threads_fetch_a_document_once(clock: Clock) -> None:
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    assert set(_in_threads(document.get)) == {1}


def test_many_threads_with_an_unknown_key_fetch_once(clock: Clock) -> None:
    fetch = _Fetcher()
    keys = ProviderKeys(lambda: (fetch(), ())[1])
    results = _in_threads(lambda: _refusal(lambda: keys.find({"alg": "RS256", "kid": "unknown"})))
    assert len(results) == 16
    # The set itself, and one look for the key.
    assert fetch.count == 2


def test_newer_document_that_is_there_already_is_not_fetched_again(clock: Clock) -> None:
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    old = document.get()
    clock.now += 11 * MINUTE
    document.get()
    assert document.get_newer(old, cooldown=30) == 2
    assert fetch.count == 2


@pytest.mark.requirement("upstream-stale")
def test_failure_is_tried_again_after_a_few_seconds_and_not_before(clock: Clock) -> None:
    fetch = _Fetcher(fails=True)
    document = CachedDocument(fetch)
    for _ in range(5):
        assert _refusal(document.get) == "down"
    assert fetch.count == 1
    clock.now += 3.1
    fetch.fails = False
    assert document.get() == 2


def test_state_of_a_document_tells_its_age_and_what_failed_last(clock: Clock) -> None:
    fetch = _Fetcher(fails=True)
    document = CachedDocument(fetch)
    assert document.state == DocumentState(age=None, failed_ago=None, failure="")
    _refusal(document.get)
    clock.now += 5
    assert document.state == DocumentState(age=None, failed_ago=5, failure="down")
    fetch.fails = False
    document.get()
    clock.now += 7
    assert document.state == DocumentState(age=7, failed_ago=12, failure="")
    # Nothing was asked for the sake of it.
    assert fetch.count == 2


def test_old_document_is_served_to_others_while_one_thread_fetches(clock: Clock) -> None:
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    document.get()
    clock.now += 11 * MINUTE
    seen: list[int] = []
    fetch.meanwhile = lambda: seen.append(ThreadPoolExecutor(1).submit(document.get).result(timeout=20))
    assert document.get() == 2
    assert seen == [1]


@pytest.mark.requirement("upstream-renewal")
def test_document_is_renewed_beside_the_requests_before_it_is_old(clock: Clock) -> None:
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    document.get()
    clock.now += 9 * MINUTE
    with fetch.held():
        # Nobody waits, and one thread fetches.
        assert _in_threads(document.get) == [1] * 16
    fetch.until_done(2)
    assert document.get() == 2
    assert fetch.count == 2


@pytest.mark.requirement("upstream-renewal")
def test_document_of_ten_minutes_is_not_used_before_a_newer_one_was_asked_for(clock: Clock) -> None:
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    document.get()
    clock.now += 10 * MINUTE
    assert document.get() == 2


@pytest.mark.requirement("upstream-renewal")
def test_nobody_waits_for_a_document_that_is_known_to_be_out_of_reach(clock: Clock) -> None:
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    document.get()
    clock.now += 11 * MINUTE
    fetch.fails = True
    # One finds out.
    assert document.get() == 1
    assert fetch.count == 2
    clock.now += 4
    with fetch.held():
        assert _in_threads(document.get) == [1] * 16
    fetch.until_done(3)
    fetch.fails = False
    clock.now += 4
    document.get()
    fetch.until_done(4)
    assert document.get() == 4
    # The outage is over, and ten minutes are the bound again.
    clock.now += 11 * MINUTE
    assert document.get() == 5
    assert fetch.thread is threading.current_thread()


def test_renewal_that_is_not_to_be_had_now_is_tried_again(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    document.get()
    clock.now += 9 * MINUTE
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        assert document.get() == 1
    fetch.error = TemporarilyUnavailable("too many fetches already")
    assert document.get() == 1
    fetch.until_done(2)
    fetch.error = None
    # The lock is free again a moment after the fetch.
    _until(lambda: document.get() == 3)


@pytest.mark.requirement("upstream-hanging")
def test_those_who_come_late_do_not_wait_for_a_first_document_that_hangs(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "PATIENCE", MINUTE)
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    with fetch.held(), ThreadPoolExecutor(1) as pool:
        first = pool.submit(document.get)
        fetch.until_begun(1)
        clock.now += MINUTE
        assert "takes long" in _refusal(document.get)
        fetch.release.set()
        assert first.result(10) == 1
    assert document.get() == 1


@pytest.mark.requirement("upstream-hanging")
def test_those_who_come_late_do_not_wait_for_a_newer_document_that_hangs(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents, "PATIENCE", MINUTE)
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    old = document.get()
    with fetch.held(), ThreadPoolExecutor(1) as pool:
        first = pool.submit(document.get_newer, old, cooldown=30)
        fetch.until_begun(2)
        clock.now += MINUTE
        assert "takes long" in _refusal(lambda: document.get_newer(old, cooldown=30))
        fetch.release.set()
        assert first.result(10) == 2


def test_others_wait_a_moment_for_a_document_that_is_on_its_way(clock: Clock) -> None:
    fetch = _Fetcher()
    document = CachedDocument(fetch)
    with fetch.held(), ThreadPoolExecutor(2) as pool:
        calls = [pool.submit(document.get) for _ in range(2)]
        fetch.until_begun(1)
        fetch.release.set()
        assert [call.result(10) for call in calls] == [1, 1]


class _Fetcher:
    """Counts how often it is called, and answers with that number."""

    def __init__(self, *, fails: bool = False) -> None:
        self.count = 0
        self.done = 0
        self.thread: threading.Thread | None = None
        self.fails = fails
        self.error: Exception | None = None
        self.meanwhile: Callable[[], object] = int
        self.release = threading.Event()
        self.release.set()

    def __call__(self) -> int:
        self.count += 1
        self.thread = threading.current_thread()
        try:
            assert self.release.wait(20)
            self.meanwhile()
            if self.fails:
                raise UpstreamUnavailable("down")
            if self.error is not None:
                raise self.error
            return self.count
        finally:
            self.done += 1

    @contextmanager
    def held(self) -> Iterator[None]:
        """No fetch ends before the block does."""
        self.release.clear()
        try:
            yield
        finally:
            self.release.set()

    def until_begun(self, count: int) -> None:
        _until(lambda: self.count == count)

    def until_done(self, count: int) -> None:
        """Wait for so many fetches, and for their threads."""
        _until(lambda: self.done == count)
        for thread in threading.enumerate():
            if thread.name == "mcp_oidc-renewal":
                thread.join(10)


def _in_threads(call: Callable[[], Any]) -> list[Any]:
    with ThreadPoolExecutor(16) as pool:
        return [future.result() for future in [pool.submit(call) for _ in range(16)]]


def _refusal(call: Callable[[], object]) -> str:
    with pytest.raises(UpstreamError) as refusal:
        call()
    return str(refusal.value)


def _no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.005)
