"""Logins under way at the IdP: of one browser, used once, in time."""

from __future__ import annotations

import pytest
from django.conf import LazySettings

from mcp_oidc.core.logins import LOGIN_LIFETIME, PendingLogin, begin_login, forget_expired_logins, take_login
from mcp_oidc.models import LoginAttempt
from tests.core.parallel import in_parallel
from tests.core.passing import let_pass

pytestmark = pytest.mark.django_db

PENDING = PendingLogin(
    provider="upstream",
    nonce="the nonce",
    code_verifier="the verifier",
    next_url="/authorize?state=" + "\u00e9" * 5000,
    max_age=300,
)


def test_login_comes_back_as_it_was_begun() -> None:
    ticket = begin_login(PENDING)
    assert take_login(ticket.state, ticket.browser_secret) == PENDING


@pytest.mark.requirement("login-once")
def test_login_is_used_once() -> None:
    ticket = begin_login(PENDING)
    assert take_login(ticket.state, ticket.browser_secret)
    assert take_login(ticket.state, ticket.browser_secret) is None


@pytest.mark.requirement("login-browser")
def test_login_is_of_the_browser_that_began_it_and_others_do_not_spoil_it() -> None:
    mine, other = begin_login(PENDING), begin_login(PENDING)
    for secret in (other.browser_secret, "", "guess", mine.state):
        assert take_login(mine.state, secret) is None
    assert take_login(mine.state, mine.browser_secret) == PENDING
    assert take_login(other.state, other.browser_secret) == PENDING


@pytest.mark.parametrize("state", ["", "unknown", "\u00e9", "\0", "x" * 10_000])
def test_unknown_state_is_none(state: str) -> None:
    assert take_login(state, begin_login(PENDING).browser_secret) is None


def test_late_login_is_none() -> None:
    early, late = begin_login(PENDING), begin_login(PENDING)
    let_pass(LOGIN_LIFETIME - 5, *LoginAttempt.objects.all())
    assert take_login(early.state, early.browser_secret)
    let_pass(6, *LoginAttempt.objects.all())
    assert take_login(late.state, late.browser_secret) is None


def test_logins_that_were_never_finished_are_forgotten() -> None:
    begin_login(PENDING)
    let_pass(LOGIN_LIFETIME + 1, LoginAttempt.objects.get())
    ticket = begin_login(PENDING)
    assert forget_expired_logins() == 1
    assert take_login(ticket.state, ticket.browser_secret)


@pytest.mark.requirement("nothing-usable-stored")
def test_database_tells_nothing_that_would_finish_a_login() -> None:
    ticket = begin_login(PENDING)
    row = str(LoginAttempt.objects.values().get())
    for secret in (ticket.state, ticket.browser_secret, PENDING.nonce, PENDING.code_verifier):
        assert secret not in row
        assert secret not in repr((ticket, PENDING))


def test_rows_payload_is_good_for_that_row_alone() -> None:
    first, second = begin_login(PENDING), begin_login(PENDING)
    rows = list(LoginAttempt.objects.all())
    LoginAttempt.objects.filter(pk=rows[0].pk).update(payload=rows[1].payload)
    taken = [take_login(ticket.state, ticket.browser_secret) for ticket in (first, second)]
    assert sorted(login is None for login in taken) == [False, True]


@pytest.mark.requirement("key-rotation")
def test_secret_key_rotated_meanwhile_costs_no_login(settings: LazySettings) -> None:
    ticket = begin_login(PENDING)
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert take_login(ticket.state, ticket.browser_secret) == PENDING


def test_login_of_a_lost_secret_key_is_none(settings: LazySettings) -> None:
    ticket = begin_login(PENDING)
    settings.SECRET_KEY = "another"
    assert take_login(ticket.state, ticket.browser_secret) is None


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("login-once")
def test_eight_callbacks_at_once_have_one_winner() -> None:
    ticket = begin_login(PENDING)
    taken = in_parallel(lambda: take_login(ticket.state, ticket.browser_secret))
    assert [login for login in taken if login] == [PENDING]
