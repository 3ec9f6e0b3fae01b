"""Fresh IdP tokens: refreshed once, by whoever comes first, and never lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import InterfaceError, OperationalError, connection, transaction
from django.utils import timezone

from mcp_oidc.core import upstream_tokens
from mcp_oidc.core.upstream_tokens import (
    IdpTokens,
    StoredTokens,
    forget_tokens,
    keep_tokens,
    read_tokens,
    release_lease,
    take_lease,
)
from mcp_oidc.errors import UpstreamLoginRequired, UpstreamUnavailable
from mcp_oidc.models import AbstractClient, Connection, Consent, Event, Identity, IdpTokenSet
from mcp_oidc.upstream import refresh, vain_waits
from mcp_oidc.upstream.deadlines import NoThread
from mcp_oidc.upstream.provider import Provider
from mcp_oidc.upstream.refresh import fresh_tokens
from tests.core.parallel import in_parallel
from tests.core.passing import let_pass
from tests.idp import Idp
from tests.server.grants import Grant, grant
from tests.upstream.browser import Browser, configure_upstream
from tests.upstream.failing import failing

# Refreshes never take place in a transaction of the caller, where the database can help it.
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def identity(browser: Browser) -> Identity:
    """Alice, whose tokens are good for an hour."""
    browser.log_in()
    browser.idp.requests.clear()
    return Identity.objects.get()


def test_tokens_that_are_good_are_returned_without_asking_anybody(identity: Identity, idp: Idp) -> None:
    assert fresh_tokens(identity.pk) == read_tokens(identity.pk).tokens
    assert not idp.requests


@pytest.mark.requirement("upstream-refresh-margin")
@pytest.mark.parametrize(
    ("lifetime", "left", "refreshes"),
    [(3600, 61, 0), (3600, 59, 1), (3600, -5, 1), (100, 11, 0), (100, 9, 1), (5, 1, 0), (5, 0.4, 1)],
)
def test_tokens_are_refreshed_within_a_minute_or_a_tenth_of_their_lifetime(
    identity: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch, lifetime: float, left: float, refreshes: int
) -> None:
    _expire(identity, in_seconds=left, lifetime=lifetime)
    expires_at = read_tokens(identity.pk).tokens.expires_at
    assert expires_at is not None
    # The clock stands still, however long the test takes.
    now = expires_at - timedelta(seconds=left)
    monkeypatch.setattr(refresh, "read_tokens", lambda identity_id: replace(read_tokens(identity_id), now=now))
    fresh_tokens(identity.pk)
    assert idp.requests["token"] == refreshes


def test_refreshed_tokens_are_kept(identity: Identity, idp: Idp) -> None:
    _expire(identity)
    tokens = fresh_tokens(identity.pk)
    assert tokens.access_token in idp.access_tokens
    assert read_tokens(identity.pk).tokens == tokens
    assert fresh_tokens(identity.pk) == tokens
    assert idp.requests["token"] == 1


@pytest.mark.requirement("upstream-refresh-rotation")
def test_rotated_refresh_token_is_kept(identity: Identity, idp: Idp) -> None:
    idp.rotates = True
    for _ in range(3):
        _expire(identity)
        assert fresh_tokens(identity.pk).refresh_token in idp.refresh_tokens
    assert idp.requests["token"] == 3


def test_refresh_token_that_is_not_rotated_is_carried_over(identity: Identity, idp: Idp) -> None:
    before = read_tokens(identity.pk).tokens.refresh_token
    _expire(identity)
    assert fresh_tokens(identity.pk).refresh_token == before


def test_id_token_of_the_login_is_kept_where_a_refresh_brings_none(identity: Identity, idp: Idp) -> None:
    before = read_tokens(identity.pk).tokens.id_token
    idp.token_answer = {"id_token": None}
    _expire(identity)
    assert fresh_tokens(identity.pk).id_token == before


def test_id_token_of_a_refresh_replaces_the_old_one(identity: Identity, idp: Idp) -> None:
    before = read_tokens(identity.pk).tokens.id_token
    idp.claims = {"exp": 4_000_000_000}
    _expire(identity)
    assert fresh_tokens(identity.pk).id_token not in (before, None)


@pytest.mark.requirement("upstream-refresh-sub")
@pytest.mark.parametrize("claims", [{"sub": "bob"}, {"iss": "https://evil.example"}])
def test_refresh_that_brings_tokens_of_somebody_else_is_refused(
    identity: Identity, idp: Idp, claims: dict[str, str]
) -> None:
    idp.claims = claims
    before = read_tokens(identity.pk).tokens.access_token
    _expire(identity)
    with pytest.raises(UpstreamUnavailable, match="somebody else"):
        fresh_tokens(identity.pk)
    assert read_tokens(identity.pk).tokens.access_token == before


@pytest.mark.parametrize("id_token", ["no token", "a.b.c", "a.W10.c", "a.\u00e9.c"])
def test_refresh_with_an_unreadable_id_token_is_refused(identity: Identity, idp: Idp, id_token: str) -> None:
    idp.token_answer = {"id_token": id_token}
    _expire(identity)
    with pytest.raises(UpstreamUnavailable):
        fresh_tokens(identity.pk)


def test_invalid_grant_forgets_the_tokens_and_asks_for_a_login(identity: Identity, idp: Idp) -> None:
    idp.refuses_refresh = "invalid_grant"
    # Even if the access token would do for a few more seconds: the provider has said no.
    _expire(identity, in_seconds=30, lifetime=3600)
    with pytest.raises(UpstreamLoginRequired):
        fresh_tokens(identity.pk)
    assert not IdpTokenSet.objects.exists()


@pytest.fixture
def granted(browser: Browser, identity: Identity, public_client: AbstractClient, signing_key: object) -> Grant:
    """What a client got of alice, by way of her login at the provider."""
    return grant(browser.client, public_client)


def living() -> int:
    return Connection.objects.filter(revoked_at=None).count()


@pytest.mark.requirement("idp-refusal-revokes")
def test_user_whom_the_provider_refuses_loses_every_connection_and_nobody_else_does(
    browser: Browser, identity: Identity, idp: Idp, granted: Grant
) -> None:
    other = Browser(idp)
    other.log_in("bob")
    of_bob = grant(other.client, granted.client)
    assert granted.call() == 200
    idp.refuses_refresh = "invalid_grant"
    _expire(identity)
    assert granted.call() == 401
    granted.require_dead()
    of_bob.require_alive()
    revoked = Event.objects.filter(kind="connection.revoked")
    assert {(event.reason, event.user_id) for event in revoked} == {("idp_refused", identity.user_id)}
    assert revoked.count() == 2
    # What she approved is remembered: she comes back by logging in.
    assert Consent.objects.filter(user=identity.user_id).exists()
    idp.refuses_refresh = ""
    browser.log_in()
    grant(browser.client, granted.client).require_alive()


@pytest.mark.requirement("idp-refusal-revokes")
@pytest.mark.parametrize("fault", [500, 503, "garbage", "redirect", "hang", "close"])
def test_outage_ends_no_connection(identity: Identity, idp: Idp, granted: Grant, fault: int | str) -> None:
    _expire(identity)
    with failing(idp, "token", fault):
        assert granted.call() == 503
    granted.require_alive()


@pytest.mark.requirement("idp-refusal-revokes")
@pytest.mark.parametrize("code", ["invalid_client", "invalid_request", "unauthorized_client", "invalid_scope", "x"])
def test_refusal_that_is_not_about_the_user_ends_no_connection(
    identity: Identity, idp: Idp, granted: Grant, code: str
) -> None:
    idp.refuses_refresh = code
    _expire(identity)
    assert granted.call() == 503
    idp.refuses_refresh = ""
    granted.require_alive()


@pytest.mark.requirement("idp-refusal-revokes")
@pytest.mark.parametrize("code", ["access_denied", "invalid_client", "invalid_grant"])
def test_secret_that_was_changed_at_the_provider_first_ends_no_connection(
    identity: Identity, idp: Idp, granted: Grant, code: str
) -> None:
    ours, idp.client_secret, idp.refuses_clients = idp.client_secret, "another", code
    _expire(identity)
    assert granted.call() == 503
    idp.client_secret = ours
    granted.require_alive()


@pytest.mark.requirement("idp-refusal-revokes")
def test_login_during_a_refused_refresh_is_what_counts(
    identity: Identity, idp: Idp, granted: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = IdpTokens(access_token="of-the-login", refresh_token="new")
    idp.refuses_refresh = "invalid_grant"
    _expire(identity)

    def log_in_meanwhile(stored: StoredTokens) -> bool:
        taken = take_lease(stored)
        keep_tokens(identity, newer)
        return taken

    monkeypatch.setattr("mcp_oidc.upstream.refresh.take_lease", log_in_meanwhile)
    assert fresh_tokens(identity.pk) == newer
    assert living() == 2


@pytest.mark.requirement("idp-refusal-revokes")
def test_late_refusal_of_tokens_from_before_the_last_login_ends_nothing(
    identity: Identity, idp: Idp, granted: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = IdpTokens(access_token="of-the-login", refresh_token="new")
    idp.refuses_refresh = "invalid_grant"
    _expire(identity)

    def be_overtaken(stored: StoredTokens) -> bool:
        # By another process that was refused and dropped the set, and by the login that it asked for.
        taken = take_lease(stored)
        forget_tokens(read_tokens(identity.pk))
        keep_tokens(identity, newer)
        assert read_tokens(identity.pk).version == stored.version
        return taken

    monkeypatch.setattr("mcp_oidc.upstream.refresh.take_lease", be_overtaken)
    assert fresh_tokens(identity.pk) == newer
    assert living() == 2


@pytest.mark.requirement("idp-refusal-revokes")
def test_refused_tokens_are_not_forgotten_without_the_connections(
    identity: Identity, idp: Idp, granted: Grant, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError("the events cannot be written")

    idp.refuses_refresh = "invalid_grant"
    _expire(identity)
    monkeypatch.setattr("mcp_oidc.core.audit.record_each", fail)
    with pytest.raises(RuntimeError):
        fresh_tokens(identity.pk)
    assert living() == 2
    assert IdpTokenSet.objects.exists()


def test_other_refusals_forget_nothing(identity: Identity, idp: Idp) -> None:
    idp.refuses_refresh = "invalid_client"
    _expire(identity)
    with pytest.raises(UpstreamUnavailable, match="invalid_client"):
        fresh_tokens(identity.pk)
    idp.refuses_refresh = ""
    assert fresh_tokens(identity.pk).access_token in idp.access_tokens


def test_expired_tokens_without_a_refresh_token_need_a_login(identity: Identity, idp: Idp) -> None:
    _expire(identity, refresh_token=None)
    with pytest.raises(UpstreamLoginRequired):
        fresh_tokens(identity.pk)


def test_last_seconds_of_tokens_without_a_refresh_token_are_used(identity: Identity, idp: Idp) -> None:
    _expire(identity, in_seconds=30, lifetime=3600, refresh_token=None)
    assert fresh_tokens(identity.pk).access_token in idp.access_tokens


def test_user_without_tokens_needs_a_login(identity: Identity) -> None:
    IdpTokenSet.objects.all().delete()
    with pytest.raises(UpstreamLoginRequired):
        fresh_tokens(identity.pk)


def test_tokens_without_expiry_are_taken_as_they_are(browser: Browser, idp: Idp) -> None:
    idp.expires_in, idp.has_refresh_tokens = None, False
    browser.log_in()
    let_pass(100 * 3600, IdpTokenSet.objects.get())
    assert fresh_tokens(Identity.objects.get().pk).access_token in idp.access_tokens
    assert idp.requests["token"] == 1


@pytest.mark.requirement("upstream-refresh-margin")
def test_tokens_without_expiry_are_refreshed_after_an_hour_where_they_can_be(browser: Browser, idp: Idp) -> None:
    idp.expires_in = None
    browser.log_in()
    identity = Identity.objects.get()
    idp.requests.clear()
    let_pass(3500, IdpTokenSet.objects.get())
    before = fresh_tokens(identity.pk)
    assert idp.requests["token"] == 0
    let_pass(101, IdpTokenSet.objects.get())
    idp.faults = {"token": 500}
    # They may well be good still.
    assert fresh_tokens(identity.pk) == before
    idp.faults = {}
    assert fresh_tokens(identity.pk).access_token != before.access_token


@pytest.mark.requirement("upstream-refresh-outage")
@pytest.mark.parametrize("fault", [500, "garbage", "redirect", "oversized", "hang"])
def test_outage_is_bridged_by_the_token_that_is_still_good(identity: Identity, idp: Idp, fault: int | str) -> None:
    before = read_tokens(identity.pk).tokens.access_token
    _expire(identity, in_seconds=50, lifetime=3600)
    with failing(idp, "token", fault):
        assert fresh_tokens(identity.pk).access_token == before


@pytest.mark.parametrize("fault", [500, "garbage", "hang"])
def test_outage_is_no_revocation(identity: Identity, idp: Idp, fault: int | str) -> None:
    _expire(identity)
    with failing(idp, "token", fault), pytest.raises(UpstreamUnavailable):
        fresh_tokens(identity.pk)
    assert fresh_tokens(identity.pk).access_token in idp.access_tokens


@pytest.mark.requirement("upstream-refresh-issuer")
def test_refresh_token_is_not_sent_to_another_provider(identity: Identity, idp: Idp, settings: LazySettings) -> None:
    configure_upstream(settings, {**idp.upstream, "NAME": "another"})
    _expire(identity)
    with pytest.raises(UpstreamLoginRequired):
        fresh_tokens(identity.pk)
    assert idp.requests["token"] == 0


def test_expired_tokens_of_a_provider_that_is_gone_need_a_login(identity: Identity, settings: LazySettings) -> None:
    configure_upstream(settings, {})
    _expire(identity)
    with pytest.raises(UpstreamLoginRequired):
        fresh_tokens(identity.pk)


@pytest.mark.requirement("upstream-refresh-once")
@pytest.mark.parametrize("rotates", [True, False])
def test_many_threads_make_one_refresh_and_all_succeed(identity: Identity, idp: Idp, rotates: bool) -> None:
    idp.rotates = rotates
    _expire(identity)
    with ThreadPoolExecutor(12) as pool:
        answers = [future.result() for future in [pool.submit(_in_thread, identity.pk) for _ in range(12)]]
    assert idp.requests["token"] == 1
    assert {answer.access_token for answer in answers} == {read_tokens(identity.pk).tokens.access_token}


@pytest.mark.requirement("upstream-refresh-rotation")
def test_refresh_in_a_transaction_locks_nothing_meanwhile_and_outlives_its_end(
    identity: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    if connection.vendor == "sqlite":
        pytest.skip("SQLite has one lock for all who write")
    _expire(identity)
    idp.rotates = True
    ask = Provider.refresh

    def look_around(provider: Provider, refresh_token: str) -> IdpTokens:
        # The lease is there for others to see, and does not make them wait.
        [is_locked] = in_parallel(lambda: not take_lease(read_tokens(identity.pk)), threads=1)
        assert is_locked
        return ask(provider, refresh_token)

    monkeypatch.setattr(Provider, "refresh", look_around)
    with transaction.atomic():
        tokens = fresh_tokens(identity.pk)
        assert fresh_tokens(identity.pk) == tokens
        transaction.set_rollback(True)
    assert read_tokens(identity.pk).tokens == tokens
    assert idp.requests["token"] == 1


@pytest.mark.parametrize("trouble", [TimeoutError, NoThread])
def test_refresh_that_finds_no_thread_in_time_is_an_outage(
    identity: Identity, monkeypatch: pytest.MonkeyPatch, trouble: type[Exception]
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise trouble

    _expire(identity)
    monkeypatch.setattr(refresh, "_is_in_transaction", lambda: True)
    with monkeypatch.context() as patch:
        patch.setattr(refresh, "call_within", fail)
        with pytest.raises(UpstreamUnavailable):
            fresh_tokens(identity.pk)
    assert fresh_tokens(identity.pk) == read_tokens(identity.pk).tokens


@pytest.mark.requirement("upstream-refresh-rotation")
def test_rotated_refresh_token_outlives_a_hiccup_of_the_database(
    identity: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    idp.rotates = True
    _expire(identity)
    hiccups = [OperationalError("the database is shutting down"), InterfaceError("connection already closed")]
    replace_row = upstream_tokens._replace

    def replace_later(*args: Any) -> bool:
        if hiccups:
            raise hiccups.pop()
        return replace_row(*args)

    monkeypatch.setattr(upstream_tokens, "_replace", replace_later)
    tokens = fresh_tokens(identity.pk)
    assert not hiccups
    assert tokens.refresh_token in idp.refresh_tokens
    assert read_tokens(identity.pk).tokens == tokens


def test_lease_of_a_refresh_that_failed_is_released_whatever_it_was(
    identity: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(provider: Provider, refresh_token: str) -> IdpTokens:
        raise RuntimeError("of a project's own CLIENT_CLASS")

    _expire(identity)
    with monkeypatch.context() as patch:
        patch.setattr(Provider, "refresh", fail)
        with pytest.raises(RuntimeError):
            fresh_tokens(identity.pk)
    assert fresh_tokens(identity.pk).access_token in idp.access_tokens


def test_refresh_of_another_process_is_waited_for(
    identity: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _expire(identity)
    take_lease(read_tokens(identity.pk))
    renewed = IdpTokens(access_token="of the other process", refresh_token="r")
    monkeypatch.setattr("mcp_oidc.upstream.refresh.time.sleep", lambda seconds: keep_tokens(identity, renewed))
    assert fresh_tokens(identity.pk) == renewed
    assert idp.requests["token"] == 0


def test_failed_refresh_of_another_process_is_not_repeated_by_all_who_waited(
    identity: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _expire(identity)
    stored = read_tokens(identity.pk)
    take_lease(stored)
    waits: list[float] = []

    def sleep_while_the_other_gives_up(seconds: float) -> None:
        waits.append(seconds)
        release_lease(stored)

    monkeypatch.setattr("mcp_oidc.upstream.refresh.time.sleep", sleep_while_the_other_gives_up)
    with pytest.raises(UpstreamUnavailable):
        fresh_tokens(identity.pk)
    assert len(waits) == 1
    assert idp.requests["token"] == 0


def test_lease_is_not_taken_before_the_metadata_is_there(
    identity: Identity, idp: Idp, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    # As after a restart: fetching it under the lease could outlive the lease.
    configure_upstream(settings, {**idp.upstream, "AUTH_PARAMS": {"new": "settings"}})
    _expire(identity)
    asked_before: list[int] = []

    def spy(stored: StoredTokens) -> bool:
        asked_before.append(idp.requests["discovery"])
        return take_lease(stored)

    monkeypatch.setattr("mcp_oidc.upstream.refresh.take_lease", spy)
    fresh_tokens(identity.pk)
    assert asked_before == [1]
    assert idp.requests["discovery"] == 1


def test_wait_for_a_process_that_has_died_is_bounded(
    identity: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    _expire(identity)
    take_lease(read_tokens(identity.pk))
    monkeypatch.setattr(refresh, "OVERDUE_SECONDS", 0.2)
    with pytest.raises(UpstreamUnavailable, match="too long"):
        fresh_tokens(identity.pk)


class _Waits(Exception):
    """Somebody waits for a refresh of another's."""


@pytest.fixture
def overdue(identity: Identity, monkeypatch: pytest.MonkeyPatch) -> Identity:
    """Alice, whose tokens have expired and are being refreshed. That was waited for in vain."""

    def wait(seconds: float) -> None:
        raise _Waits

    _expire(identity)
    take_lease(read_tokens(identity.pk))
    monkeypatch.setattr("mcp_oidc.upstream.refresh.time.sleep", wait)
    with monkeypatch.context() as patch:
        patch.setattr(refresh, "OVERDUE_SECONDS", 0)
        with pytest.raises(UpstreamUnavailable):
            fresh_tokens(identity.pk)
    return identity


@pytest.mark.requirement("upstream-refresh-outage")
def test_provider_that_hangs_does_not_make_every_call_of_a_user_wait(overdue: Identity) -> None:
    with pytest.raises(UpstreamUnavailable, match="too long"):
        fresh_tokens(overdue.pk)


def test_others_are_waited_for_meanwhile(overdue: Identity, browser: Browser) -> None:
    Browser(browser.idp).log_in("bob")
    bob = Identity.objects.get(sub="bob")
    _expire(bob)
    take_lease(read_tokens(bob.pk))
    with pytest.raises(_Waits):
        fresh_tokens(bob.pk)


def test_refresh_that_succeeds_is_worth_waiting_for_the_next_time(overdue: Identity) -> None:
    release_lease(read_tokens(overdue.pk))
    fresh_tokens(overdue.pk)
    _expire(overdue)
    take_lease(read_tokens(overdue.pk))
    with pytest.raises(_Waits):
        fresh_tokens(overdue.pk)


def test_wait_that_was_in_vain_is_tried_again_some_time_later(
    overdue: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(vain_waits, "SECONDS", -1)
    with pytest.raises(UpstreamUnavailable):
        # It notes that anew.
        fresh_tokens(overdue.pk)
    with pytest.raises(_Waits):
        fresh_tokens(overdue.pk)


def test_tokens_that_another_process_brought_are_taken_without_waiting(
    overdue: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    renewed = IdpTokens(access_token="of the other process", refresh_token="r")

    def be_overtaken(stored: StoredTokens) -> bool:
        keep_tokens(overdue, renewed)
        return take_lease(stored)

    monkeypatch.setattr("mcp_oidc.upstream.refresh.take_lease", be_overtaken)
    assert fresh_tokens(overdue.pk) == renewed


def _expire(
    identity: Identity, *, in_seconds: float = -1, lifetime: float = 3600, refresh_token: str | None = "the same"
) -> None:
    """Make the stored tokens expire `in_seconds`, after a life of `lifetime`."""
    tokens = read_tokens(identity.pk).tokens
    kept = tokens.refresh_token if refresh_token == "the same" else refresh_token
    expires_at = timezone.now() + timedelta(seconds=in_seconds)
    IdpTokenSet.objects.filter(identity=identity).delete()
    keep_tokens(identity, replace(tokens, expires_at=expires_at, refresh_token=kept))
    IdpTokenSet.objects.filter(identity=identity).update(obtained_at=expires_at - timedelta(seconds=lifetime))


def _in_thread(identity_id: int) -> IdpTokens:
    try:
        return fresh_tokens(identity_id)
    finally:
        connection.close()
