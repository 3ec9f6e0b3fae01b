"""The authentication backend among others: it acts for our callback and for nothing else."""

from __future__ import annotations

import asyncio

import pytest
from django.conf import LazySettings
from django.contrib.auth import aauthenticate, authenticate, get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory

from mcp_oidc.upstream.backend import LoginCode, UpstreamBackend
from mcp_oidc.upstream.provider import Provider, get_provider
from tests.idp import Idp
from tests.upstream.browser import Browser, configure_upstream


def test_backend_is_made_without_settings_and_network(settings: LazySettings) -> None:
    settings.MCP_OIDC = {"UPSTREAM": "nonsense"}
    UpstreamBackend()
    with pytest.raises(ImproperlyConfigured):
        get_provider()


def test_query_with_a_code_and_a_state_means_nothing_to_the_backend(rf: RequestFactory, user: AbstractBaseUser) -> None:
    request = rf.get("/anything?code=x&state=y")
    assert UpstreamBackend().authenticate(request) is None
    assert UpstreamBackend().authenticate(request, nonce="n", code_verifier="v") is None


def test_code_without_a_request_logs_nobody_in(provider: Provider) -> None:
    code = LoginCode(provider, "the-code", "https://us.example/cb", "the-nonce", "the-verifier", None)
    assert UpstreamBackend().authenticate(None, login_code=code) is None


@pytest.mark.requirement("upstream-backend-passwords")
def test_password_is_none_of_the_backends_business(
    rf: RequestFactory, user: AbstractBaseUser, settings: LazySettings
) -> None:
    settings.AUTHENTICATION_BACKENDS = ["mcp_oidc.upstream.backend.UpstreamBackend"]
    assert authenticate(rf.get("/"), username="alice", password="a long password") is None


@pytest.mark.django_db(transaction=True)
def test_password_is_none_of_its_business_in_async_code_either(
    rf: RequestFactory, user: AbstractBaseUser, settings: LazySettings
) -> None:
    settings.AUTHENTICATION_BACKENDS = ["mcp_oidc.upstream.backend.UpstreamBackend"]
    assert asyncio.run(aauthenticate(rf.get("/"), username="alice", password="a long password")) is None


def test_passwords_still_work_beside_it(rf: RequestFactory, user: AbstractBaseUser) -> None:
    assert authenticate(rf.get("/"), username="alice", password="a long password") == user


def test_inactive_user_is_not_loaded_into_a_session(browser: Browser) -> None:
    browser.log_in()
    get_user_model().objects.update(is_active=False)
    assert browser.who() == {"user": None, "django_user": ""}


def test_permissions_are_those_of_the_user_model(browser: Browser) -> None:
    browser.log_in()
    user = get_user_model().objects.get()
    assert not user.has_perm("mcp_oidc.view_client")


def test_settings_of_the_provider_decide_whether_users_are_linked_and_follow(
    browser: Browser, idp: Idp, user: AbstractBaseUser, settings: LazySettings
) -> None:
    idp.users["alice"]["given_name"] = "Alice"
    users = get_user_model().objects
    configure_upstream(settings, {**idp.upstream, "NAME": "unlinked"})
    browser.log_in()
    assert users.count() == 2
    configure_upstream(settings, {**idp.upstream, "LINK_BY_EMAIL": True, "UPDATE_USERS": False})
    browser.log_in()
    assert browser.who()["user"] == "alice"
    assert users.get(pk=user.pk).get_short_name() == ""
    configure_upstream(settings, {**idp.upstream, "UPDATE_USERS": True})
    browser.log_in()
    assert browser.who()["user"] == "alice"
    assert users.get(pk=user.pk).get_short_name() == "Alice"


def test_credentials_that_signal_receivers_see_print_nothing(rf: RequestFactory, provider: Provider) -> None:
    seen: list[str] = []

    def receive(credentials: object, **kwargs: object) -> None:
        seen.append(repr(credentials))

    code = LoginCode(provider, "the-code", "https://us.example/cb", "the-nonce", "the-verifier", None)
    user_login_failed.connect(receive)
    try:
        user_login_failed.send(sender="test", credentials={"login_code": code}, request=rf.get("/"))
    finally:
        user_login_failed.disconnect(receive)
    for secret in ("the-code", "the-nonce", "the-verifier"):
        assert secret not in seen[0]
