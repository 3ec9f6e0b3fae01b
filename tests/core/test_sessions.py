"""Login sessions: what is kept of a login, what ends it, and when its row goes."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from importlib import import_module
from typing import Any

import pytest
from django.conf import LazySettings, settings
from django.contrib.auth import get_user_model
from django.contrib.sessions.backends.base import SessionBase
from django.db import connection as database
from django.db import transaction
from django.db.models import Q
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mcp_oidc.core import sessions
from mcp_oidc.core.approvals import Approval, open_connection
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.idp_logout import IdpLogout, log_out
from mcp_oidc.core.reencryption import reencrypt_rows
from mcp_oidc.core.sessions import (
    DjangoSession,
    end_session,
    end_sessions,
    forget_ended_sessions,
    hash_idp_session,
    open_session,
    use_session,
)
from mcp_oidc.errors import AccessDenied
from mcp_oidc.models import AbstractClient, Connection, Event, Identity, LoginSession
from mcp_oidc.protocol.authorization_requests import parse_request
from tests.core.parallel import in_parallel
from tests.core.passing import let_pass
from tests.factories import REDIRECT_URI, RESOURCE

pytestmark = pytest.mark.django_db

HOUR = 3600
TWO_WEEKS = 14 * 24 * HOUR


def new_django_session() -> Any:
    """A session of Django's with something in it."""
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session["cart"] = ["book"]
    session.save()
    return session


def log_in(identity: Identity, session: SessionBase, *, sid: str = "sid", replaces: int | None = None) -> LoginSession:
    stored = DjangoSession.of(session)
    return open_session(identity, stored, authenticated_at=timezone.now(), sid=sid, replaces=replaces)


def is_stored(session: SessionBase) -> bool:
    return bool(import_module(settings.SESSION_ENGINE).SessionStore(session.session_key).load())


@pytest.fixture
def session() -> Any:
    return new_django_session()


@pytest.fixture
def row(identity: Identity, session: Any) -> LoginSession:
    return log_in(identity, session)


@pytest.mark.requirement("dump-holds-no-secret")
def test_row_holds_neither_the_key_of_the_session_nor_the_sid(identity: Identity, session: Any) -> None:
    row = log_in(identity, session, sid="sid-of-the-provider")
    columns = str(LoginSession.objects.filter(pk=row.pk).values().get())
    assert session.session_key not in columns
    assert "sid-of-the-provider" not in columns


def test_session_at_the_provider_is_known_by_all_of_its_name() -> None:
    names = [("p", "https://idp.example", sid) for sid in ("a", "A", "a ", "b", "x" * 5000, "x" * 5001, "\ud800", "é")]
    names += [("q", "https://idp.example", "a"), ("p", "https://other.example", "a")]
    assert len({hash_idp_session(*name) for name in names}) == len(names)
    assert hash_idp_session("p", "https://idp.example", "") == ""


def test_login_is_used_for_an_hour_without_a_write(row: LoginSession, session: Any) -> None:
    let_pass(HOUR - 60, row)
    user = row.identity.user
    with CaptureQueriesContext(database) as queries:
        used = use_session(row.pk, user, DjangoSession.of(session))
        assert used is not None
        assert used.identity.user.is_active
    assert len(queries) == 1


def test_use_puts_the_end_off(row: LoginSession, session: Any) -> None:
    let_pass(HOUR + 60, row)
    before = LoginSession.objects.get()
    use_session(row.pk, row.identity.user, DjangoSession.of(session))
    after = LoginSession.objects.get()
    assert after.last_seen_at > before.last_seen_at
    assert after.expires_at > before.expires_at
    assert after.created_at == before.created_at


@pytest.mark.requirement("login-session")
@pytest.mark.django_db(transaction=True)
def test_new_key_of_the_session_is_followed(row: LoginSession, session: Any) -> None:
    session.cycle_key()
    assert use_session(row.pk, row.identity.user, DjangoSession.of(session)) is not None
    end_session(row.pk, "test")
    assert not is_stored(session)


def test_session_without_a_key_is_given_one_and_keeps_what_it_holds(identity: Identity) -> None:
    session = import_module(settings.SESSION_ENGINE).SessionStore()
    session["cart"] = ["book"]
    row = log_in(identity, session)
    assert is_stored(session)
    assert session["cart"] == ["book"]
    assert sessions._key_of(row) == session.session_key


def test_login_in_the_place_of_another_leaves_one_row(identity: Identity, session: Any, row: LoginSession) -> None:
    again = log_in(identity, session, replaces=row.pk)
    assert list(LoginSession.objects.all()) == [again]
    assert not Event.objects.exists()


@pytest.mark.requirement("login-session")
@pytest.mark.django_db(transaction=True)
def test_login_that_has_ended_is_none_and_its_session_is_gone(
    row: LoginSession, session: Any, identity: Identity, caller: Caller
) -> None:
    bystander = new_django_session()
    other = log_in(identity, bystander, sid="other")
    assert end_sessions(Q(idp_session=row.idp_session), "test", caller=caller) == 1
    assert use_session(row.pk, row.identity.user, DjangoSession.of(session)) is None
    assert (is_stored(session), is_stored(bystander)) == (False, True)
    assert list(LoginSession.objects.all()) == [other]
    event = Event.objects.get()
    assert (event.kind, event.outcome, event.reason) == ("logout", "revoked", "test")
    assert (event.user_id, event.address, event.detail) == (identity.user_id, caller.address, {"provider": "local"})


def test_login_ends_once(row: LoginSession) -> None:
    assert end_session(row.pk, "first")
    assert not end_session(row.pk, "second")
    assert Event.objects.get().reason == "first"


@pytest.mark.django_db(transaction=True)
def test_session_lives_until_the_end_has_been_committed(row: LoginSession, session: Any) -> None:
    with transaction.atomic():
        end_session(row.pk, "test")
        assert is_stored(session)
        transaction.set_rollback(True)
    assert is_stored(session)
    assert use_session(row.pk, row.identity.user, DjangoSession.of(session)) is not None


@pytest.mark.requirement("login-session")
@pytest.mark.django_db(transaction=True)
def test_store_that_fails_is_tried_again_by_cleanup_and_the_login_has_ended_all_the_same(
    row: LoginSession, session: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise OSError("no answer")

    with monkeypatch.context() as patch:
        patch.setattr(type(session), "delete", fail)
        assert end_session(row.pk, "test")
        assert forget_ended_sessions() == 0
    assert "could not be deleted" in caplog.text
    assert session.session_key not in caplog.text
    assert is_stored(session)
    assert use_session(row.pk, row.identity.user, DjangoSession.of(session)) is None
    assert forget_ended_sessions() == 1
    assert not is_stored(session)


@pytest.mark.django_db(transaction=True)
def test_key_that_cannot_be_decrypted_any_more_stops_nothing(row: LoginSession, session: Any) -> None:
    LoginSession.objects.update(payload="12345678.unreadable")
    assert end_session(row.pk, "test")
    assert not LoginSession.objects.exists()
    again = log_in(row.identity, session)
    LoginSession.objects.update(payload="12345678.unreadable")
    # It is known again at its next use.
    assert use_session(again.pk, again.identity.user, DjangoSession.of(session)) is not None
    assert end_session(again.pk, "test")
    assert not is_stored(session)


def test_payload_moved_to_another_user_is_not_opened(row: LoginSession) -> None:
    other = log_in(local_identity(get_user_model().objects.create_user("bob")), new_django_session())
    LoginSession.objects.filter(pk=row.pk).update(payload=other.payload)
    assert sessions._key_of(LoginSession.objects.get(pk=row.pk)) == ""


@pytest.mark.requirement("reencryption")
def test_key_of_a_session_is_encrypted_anew(row: LoginSession, session: Any, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ENCRYPTION_KEYS": ["new", settings.SECRET_KEY]}
    outcome = {kind.name: kind.reencrypted for kind in reencrypt_rows()}
    assert outcome["login sessions"] == 1
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ENCRYPTION_KEYS": ["new"]}
    assert sessions._key_of(LoginSession.objects.get()) == session.session_key


# Cleanup.


def test_row_goes_with_its_session_and_not_before(row: LoginSession, session: Any) -> None:
    let_pass(TWO_WEEKS - 60, row)
    assert forget_ended_sessions() == 0
    let_pass(120, row)
    # The project's own pages have prolonged it.
    assert forget_ended_sessions() == 0
    assert LoginSession.objects.get().expires_at > timezone.now()
    let_pass(TWO_WEEKS + 60, row)
    session.delete()
    assert forget_ended_sessions() == 1


def test_row_stays_while_the_store_of_its_session_does_not_answer(
    row: LoginSession, session: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*args: Any) -> None:
        raise OSError("no answer")

    let_pass(TWO_WEEKS + 60, row)
    with monkeypatch.context() as patch:
        patch.setattr(type(session), "load", fail)
        assert forget_ended_sessions() == 0
    assert "could not be looked up" in caplog.text
    assert use_session(row.pk, row.identity.user, DjangoSession.of(session)) is not None


@pytest.mark.parametrize("store", ["db", "cache", "file", "signed_cookies"])
def test_session_that_has_expired_in_its_store_is_over(
    identity: Identity, settings: LazySettings, tmp_path: Any, store: str
) -> None:
    settings.SESSION_ENGINE, settings.SESSION_FILE_PATH = f"django.contrib.sessions.backends.{store}", str(tmp_path)
    session = new_django_session()
    session.set_expiry(-1)
    session.save()
    row = log_in(identity, session)
    let_pass(60, row)
    assert forget_ended_sessions() == 1


def test_more_rows_than_a_batch_are_looked_at(identity: Identity) -> None:
    living = [log_in(identity, new_django_session()) for _ in range(5)]
    over = [log_in(identity, new_django_session()) for _ in range(5)]
    for row in over:
        import_module(settings.SESSION_ENGINE).SessionStore(sessions._key_of(row)).delete()
    let_pass(TWO_WEEKS + 60, *living, *over)
    assert forget_ended_sessions(batch_size=2) == 5
    assert set(LoginSession.objects.all()) == set(living)


def test_row_of_a_deleted_user_goes(row: LoginSession) -> None:
    row.identity.user.delete()
    assert not LoginSession.objects.exists()


# Whoever approves something while the logout comes.


def approval_of(row: LoginSession, client: AbstractClient, *, nonce: str = "n") -> Approval:
    params = {
        "response_type": "code",
        "client_id": client.client_id,
        "redirect_uri": REDIRECT_URI,
        "code_challenge": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        "code_challenge_method": "S256",
        "nonce": nonce,
    }
    return Approval(
        user=row.identity.user,
        identity=row.identity,
        client=client,
        request=parse_request(params, redirect_uri=REDIRECT_URI),
        resource=RESOURCE,
        scopes=("mcp",),
        authenticated_at=row.authenticated_at,
        idp_session=row.idp_session,
        login_session=row.pk,
    )


@pytest.mark.requirement("backchannel-logout")
def test_nothing_is_approved_in_a_login_that_has_ended(
    row: LoginSession, public_client: AbstractClient, caller: Caller
) -> None:
    approval = approval_of(row, public_client)
    assert open_connection(approval, caller=caller)
    end_session(row.pk, "test")
    with pytest.raises(AccessDenied):
        open_connection(approval, caller=caller)
    with pytest.raises(AccessDenied):
        open_connection(approval_of(row, public_client, nonce="another"), caller=caller)
    assert Connection.objects.count() == 1


@pytest.mark.requirement("backchannel-logout")
@pytest.mark.django_db(transaction=True)
def test_nothing_that_is_approved_during_a_logout_outlives_it(
    identity: Identity, public_client: AbstractClient, caller: Caller
) -> None:
    for attempt in range(3):
        row = log_in(identity, new_django_session(), sid=f"sid-{attempt}")
        turns = itertools.count()

        def act(row: LoginSession = row, turns: Iterator[int] = turns, attempt: int = attempt) -> None:
            turn = next(turns)
            if turn == 3:
                said = IdpLogout(
                    "local", "local", "", f"sid-{attempt}", token_id=str(attempt), forgotten_at=2_000_000_000
                )
                assert log_out(said, spares_connections=False)
            else:
                open_connection(approval_of(row, public_client, nonce=f"{attempt} {turn}"), caller=caller)

        in_parallel(act, expected=AccessDenied)
    assert not Connection.objects.filter(revoked_at=None).exists()
    assert not LoginSession.objects.exists()
