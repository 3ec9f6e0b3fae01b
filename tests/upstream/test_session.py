"""Who counts as logged in."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_logged_out
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mcp_oidc.core.sessions import _key_of, end_session, forget_ended_sessions, hash_idp_session
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.models import Event, Identity, IdpTokenSet, LoginSession
from tests.idp import Idp
from tests.upstream.browser import Browser, configure_upstream


@pytest.mark.requirement("upstream-session-counts")
def test_password_of_the_admin_does_not_count_where_there_is_an_upstream(
    browser: Browser, user: AbstractBaseUser
) -> None:
    browser.client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    assert browser.who() == {"user": None, "django_user": "alice"}


def test_session_of_another_provider_does_not_count(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    browser.log_in()
    configure_upstream(settings, {**idp.upstream, "ISSUER": "https://new.example"})
    assert browser.who()["user"] is None


def test_session_of_the_same_issuer_under_another_name_does_not_count(
    browser: Browser, idp: Idp, settings: LazySettings
) -> None:
    browser.log_in()
    configure_upstream(settings, {**idp.upstream, "NAME": "another"})
    assert browser.who()["user"] is None


def test_session_whose_identity_is_gone_does_not_count(browser: Browser) -> None:
    browser.log_in()
    Identity.objects.all().delete()
    assert browser.who()["user"] is None


def test_session_whose_tokens_are_gone_does_not_count_so_that_tools_get_new_ones(browser: Browser) -> None:
    browser.log_in()
    IdpTokenSet.objects.all().delete()
    assert browser.who() == {"user": None, "django_user": "alice"}


def test_session_whose_tokens_have_expired_for_good_does_not_count(browser: Browser, idp: Idp) -> None:
    idp.has_refresh_tokens = False
    browser.log_in()
    keep_tokens(Identity.objects.get(), IdpTokens("old", expires_at=timezone.now() - timedelta(seconds=1)))
    assert browser.who()["user"] is None


def test_session_into_which_somebody_else_was_put_does_not_count(browser: Browser, user: AbstractBaseUser) -> None:
    browser.log_in("bob")
    session = browser.client.session
    session["_auth_user_id"] = str(user.pk)
    session["_auth_user_hash"] = user.get_session_auth_hash()
    session.save()
    assert browser.who() == {"user": None, "django_user": "alice"}


@pytest.mark.requirement("login-session")
def test_login_that_somebody_has_ended_does_not_count(browser: Browser) -> None:
    browser.log_in()
    assert end_session(LoginSession.objects.get().pk, "test")
    assert browser.who() == {"user": None, "django_user": "alice"}


@pytest.mark.requirement("login-session")
def test_login_whose_row_is_gone_does_not_count(browser: Browser) -> None:
    browser.log_in()
    LoginSession.objects.all().delete()
    assert browser.who() == {"user": None, "django_user": "alice"}


def test_login_of_one_browser_does_not_count_in_another(browser: Browser, idp: Idp) -> None:
    # As if a backup were restored, in which the number of a row is another one's.
    browser.log_in("alice")
    other = Browser(idp)
    other.log_in("bob")
    session = other.client.session
    session["mcp_oidc_login_session"] = browser.client.session["mcp_oidc_login_session"]
    session.save()
    assert other.who()["user"] is None
    # Nor does it become that browser's.
    assert {_key_of(row) for row in LoginSession.objects.all()} == {
        each.client.cookies["sessionid"].value for each in (browser, other)
    }


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("login-session")
def test_any_logout_of_the_project_ends_the_login_session(browser: Browser, idp: Idp) -> None:
    other = Browser(idp)
    other.log_in()
    browser.log_in()
    # By Django's own view, such as the admin's.
    browser.client.logout()
    assert browser.who() == {"user": None, "django_user": ""}
    assert other.who()["sub"] == "alice"
    assert LoginSession.objects.count() == 1
    event = Event.objects.get(kind="logout")
    assert (event.outcome, event.reason, event.user) == ("revoked", "user_logout", Identity.objects.get().user)


def test_logout_of_somebody_who_never_logged_in_at_the_provider_is_nothing_to_us(
    browser: Browser, user: AbstractBaseUser
) -> None:
    browser.client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    browser.client.logout()
    user_logged_out.send(sender=type(user), request=None, user=user)
    assert not Event.objects.filter(kind="logout").exists()


@pytest.mark.parametrize("before", ["nobody", "alice", "bob", "a password"])
def test_each_browser_has_one_login_session(browser: Browser, user: AbstractBaseUser, before: str) -> None:
    if before == "a password":
        browser.client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    elif before != "nobody":
        browser.log_in(before)
    browser.log_in("alice")
    row = LoginSession.objects.get(pk=browser.client.session["mcp_oidc_login_session"])
    assert row.identity.sub == "alice"
    assert _key_of(row) == browser.client.cookies["sessionid"].value
    # Of the one whom Django itself threw out, cleanup finds that the session is gone.
    assert LoginSession.objects.filter(identity__sub="alice").count() == 1
    LoginSession.objects.exclude(pk=row.pk).update(expires_at=timezone.now() - timedelta(hours=1))
    forget_ended_sessions()
    assert LoginSession.objects.get() == row


def test_whoever_is_logged_in_is_found_by_one_query_of_ours(browser: Browser) -> None:
    browser.log_in()
    with CaptureQueriesContext(connection) as queries:
        browser.who()
    # And one for the provider's tokens.
    assert len([query for query in queries if "mcp_oidc" in query["sql"]]) == 2


def test_session_at_the_provider_is_known_however_long_its_name(browser: Browser, idp: Idp) -> None:
    for sid in ("s" * 3000, "\ud800", 5):
        idp.claims = {"sid": sid}
        browser.log_in()
        expected = hash_idp_session("upstream", idp.issuer, sid) if isinstance(sid, str) else ""
        assert browser.who()["idp_session"] == expected


def test_time_of_the_login_is_the_providers(browser: Browser, idp: Idp) -> None:
    idp.claims = {"auth_time": 1_700_000_000}
    browser.log_in()
    assert browser.who()["authenticated_at"] == "2023-11-14T22:13:20+00:00"


def test_login_at_the_project_counts_without_an_upstream(
    client: Client, user: AbstractBaseUser, settings: LazySettings
) -> None:
    settings.ROOT_URLCONF = "tests.upstream.urls"
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    who = client.get("/after").json()
    assert (who["user"], who["sub"], who["idp_session"]) == ("alice", str(user.pk), "")
    assert who["authenticated_at"] == client.session["mcp_oidc_logged_in_at"]


def test_session_that_began_before_the_app_was_there_tells_of_the_users_last_login(
    client: Client, user: AbstractBaseUser, settings: LazySettings
) -> None:
    settings.ROOT_URLCONF = "tests.upstream.urls"
    client.force_login(user, backend="django.contrib.auth.backends.ModelBackend")
    session = client.session
    del session["mcp_oidc_logged_in_at"]
    session.save()
    user.refresh_from_db()
    assert user.last_login is not None
    assert client.get("/after").json()["authenticated_at"] == user.last_login.isoformat()


def test_session_of_an_upstream_that_is_gone_counts_as_the_projects_own(
    browser: Browser, settings: LazySettings
) -> None:
    browser.log_in()
    configure_upstream(settings, {})
    assert browser.who()["sub"] == str(Identity.objects.get(provider="upstream").user_id)


def test_inactive_user_does_not_count_even_where_a_backend_lets_them_in(
    client: Client, user: AbstractBaseUser, settings: LazySettings
) -> None:
    lenient = "django.contrib.auth.backends.AllowAllUsersModelBackend"
    settings.ROOT_URLCONF, settings.AUTHENTICATION_BACKENDS = "tests.upstream.urls", [lenient]
    get_user_model().objects.update(is_active=False)
    client.force_login(user, backend=lenient)
    assert client.get("/after").json() == {"user": None, "django_user": "alice"}


def test_nobody_is_there_before_a_login(client: Client, db: None, settings: LazySettings) -> None:
    settings.ROOT_URLCONF = "tests.upstream.urls"
    assert client.get("/after").json()["user"] is None
