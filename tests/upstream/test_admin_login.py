"""Django's admin behind the identity provider, at the admin's real URLs."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.http import HttpResponse
from django.test import Client

from mcp_oidc.adapter import Adapter
from mcp_oidc.models import Event
from tests.idp import Idp
from tests.server.authorizations import form_of, text_of
from tests.upstream.browser import Browser

MIDDLEWARE = "django.contrib.auth.middleware.LoginRequiredMiddleware"


class Staff(Adapter):
    """Alice is staff, and whoever has the claim is a superuser."""

    def update_user(self, user: Any, claims: Any) -> None:
        user.is_staff = claims["sub"] == "alice"
        user.is_superuser = "root" in claims.get("groups", [])
        user.save(update_fields=["is_staff", "is_superuser"])


@pytest.fixture(autouse=True, params=[False, True], ids=["", "login required everywhere"])
def _admin(request: pytest.FixtureRequest, idp: Idp, settings: LazySettings) -> None:
    settings.ROOT_URLCONF = "tests.upstream.urls_admin"
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": Staff}
    if request.param:
        # Django sends strangers from most pages of the admin to LOGIN_URL then.
        settings.MIDDLEWARE, settings.LOGIN_URL = [*settings.MIDDLEWARE, MIDDLEWARE], "mcp_oidc:login"


def follow(browser: Browser, path: str) -> HttpResponse:
    """Open a page of this server and follow its redirects, until one leads away; not for ever."""
    for _ in range(5):
        response = browser.client.get(path)
        path = response.headers.get("Location", "")
        if not path.startswith("/"):
            return response
    raise AssertionError(f"a redirect loop at {path}")


def log_in(browser: Browser, path: str, sub: str) -> HttpResponse:
    """Open `path` as a stranger, log in at the provider, and follow where that leads."""
    location = follow(browser, path).headers["Location"]
    return follow(browser, browser.come_back(browser.idp.log_in(location, sub)).headers["Location"])


@pytest.mark.requirement("admin-login")
@pytest.mark.parametrize("path", ["/admin/", "/admin/auth/user/?q=alice&o=1", "/admin/login/"])
def test_staff_log_in_at_the_provider_and_land_where_they_wanted(browser: Browser, path: str) -> None:
    page = log_in(browser, path, "alice")
    # Without a permission there is nothing to see of the users.
    assert page.status_code == (403 if "user" in path else 200)
    wanted = "/admin/" if path == "/admin/login/" else path
    assert page.wsgi_request.get_full_path() == wanted
    assert page.wsgi_request.user.is_staff


@pytest.mark.requirement("admin-login")
def test_page_of_the_admin_is_shown_after_the_login(browser: Browser, idp: Idp) -> None:
    idp.claims = {"groups": ["root"]}
    page = log_in(browser, "/admin/mcp_oidc/event/?topic=login", "alice")
    assert page.status_code == 200
    assert Event.objects.get(kind="login").outcome == "allowed"
    assert "login" in text_of(page)


@pytest.mark.requirement("admin-login")
def test_whoever_is_not_staff_gets_a_page_and_no_redirect_loop(browser: Browser) -> None:
    page = log_in(browser, "/admin/auth/user/", "bob")
    assert page.status_code == 403
    assert "You are logged in as" in text_of(page)
    assert "Log in with another account" in text_of(page)
    assert "no-store" in page.headers["Cache-Control"]
    assert follow(browser, "/admin/").status_code == 403


def test_other_account_is_asked_for_at_the_provider_and_gets_in(browser: Browser) -> None:
    page = log_in(browser, "/admin/auth/group/", "bob")
    assert 'href="/oauth/login?next=%2Fadmin%2Fauth%2Fgroup%2F"' in page.content.decode()
    location = browser.client.get("/oauth/login", {"next": "/admin/"}).headers["Location"]
    assert parse_qs(urlsplit(location).query)["prompt"] == ["login"]
    assert browser.come_back(browser.idp.log_in(location, "alice")).headers["Location"] == "/admin/"
    assert browser.client.get("/admin/").status_code == 200


def test_staff_who_come_to_the_login_page_are_sent_to_the_index_and_nowhere_else(browser: Browser) -> None:
    log_in(browser, "/admin/", "alice")
    response = browser.client.get("/admin/login/", {"next": "/admin/auth/user/"})
    assert response.headers["Location"] == "/admin/"


@pytest.mark.parametrize("next_url", ["https://evil.example/", "//evil.example/", "/\\evil.example"])
def test_login_of_the_admin_leads_nowhere_else(browser: Browser, next_url: str) -> None:
    location = browser.client.get("/admin/login/", {"next": next_url}).headers["Location"]
    assert browser.come_back(browser.idp.log_in(location)).headers["Location"] == "/admin/"


@pytest.mark.requirement("admin-login")
def test_user_who_is_no_longer_staff_is_out_at_their_next_login(browser: Browser, settings: LazySettings) -> None:
    log_in(browser, "/admin/", "alice")
    get_user_model().objects.update(is_staff=False)
    assert follow(browser, "/admin/").status_code == 403


@pytest.mark.requirement("admin-login-passwords")
def test_there_is_no_password_form_unless_the_project_keeps_it(browser: Browser) -> None:
    for path in ("/admin/login/?password", "/admin/login/"):
        assert browser.client.get(path).headers["Location"].startswith(browser.idp.issuer)
        assert browser.client.post(path, {"username": "x", "password": "y"}).status_code == 405
    assert "password" not in text_of(log_in(browser, "/admin/", "bob"))


@pytest.mark.requirement("admin-login-passwords")
def test_password_form_that_the_project_keeps_lets_in(browser: Browser) -> None:
    get_user_model().objects.create_superuser("root", "root@example.com", "a long password")
    browser.client = Client(enforce_csrf_checks=True)
    assert browser.client.get("/owners/login/").headers["Location"].startswith(browser.idp.issuer)
    form_url = "/owners/login/?password=1&next=/owners/"
    form = {**form_of(browser.client.get(form_url)), "username": "root", "password": "a long password"}
    assert browser.client.post(form_url, form).headers["Location"] == "/owners/"
    assert browser.client.get("/owners/").status_code == 200


def test_password_form_still_checks_its_token(browser: Browser) -> None:
    browser.client = Client(enforce_csrf_checks=True)
    assert browser.client.post("/owners/login/?password", {"username": "root"}).status_code == 403


def test_site_of_the_project_decides_itself_and_its_page_offers_the_password(browser: Browser) -> None:
    page = log_in(browser, "/owners/", "alice")
    assert page.status_code == 403
    assert 'href="/owners/login/?password=1&amp;next=%2Fowners%2F"' in page.content.decode()


def test_superuser_gets_into_the_site_of_the_project(browser: Browser, idp: Idp) -> None:
    idp.claims = {"groups": ["root"]}
    page = log_in(browser, "/owners/", "alice")
    assert (page.status_code, page.wsgi_request.path) == (200, "/owners/")
    assert browser.client.get("/owners/login/").headers["Location"] == "/owners/"


def test_logout_of_the_admin_may_be_that_of_the_provider(browser: Browser) -> None:
    page = log_in(browser, "/admin/", "alice")
    assert 'action="/admin/logout/"' in page.content.decode()
    assert browser.client.post("/admin/logout/").headers["Location"].startswith(f"{browser.idp.issuer}/logout?")
    assert "_auth_user_id" not in browser.client.session


@pytest.mark.parametrize(("path", "offers_password"), [("/admin/login/", False), ("/owners/login/", True)])
def test_provider_that_is_down_is_a_page_with_the_ways_that_are_left(
    browser: Browser, idp: Idp, path: str, offers_password: bool
) -> None:
    idp.faults = {"discovery": 500}
    page = browser.client.get(path)
    assert page.status_code == 503
    assert page.headers["Retry-After"] == "5"
    assert ("Log in with a password" in text_of(page)) == offers_password
    assert "The identity provider does not answer." in text_of(page)


def test_metadata_that_is_wrong_is_no_fault_of_the_request(browser: Browser, idp: Idp) -> None:
    idp.metadata = {"issuer": "https://evil.example"}
    assert browser.client.get("/admin/login/").status_code == 502


def test_without_a_provider_the_admin_is_as_ever(browser: Browser, settings: LazySettings) -> None:
    get_user_model().objects.create_superuser("root", "root@example.com", "a long password")
    settings.MCP_OIDC = {**settings.MCP_OIDC, "UPSTREAM": None}
    form_url = "/admin/login/?next=/admin/auth/user/"
    form = {**form_of(browser.client.get(form_url)), "username": "root", "password": "a long password"}
    assert browser.client.post(form_url, form).headers["Location"] == "/admin/auth/user/"


def test_user_whom_the_adapter_does_not_let_in_is_told_so_on_the_way_to_the_admin(
    browser: Browser, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": "tests.upstream.test_callback.Bouncer"}
    location = follow(browser, "/admin/").headers["Location"]
    page = browser.come_back(browser.idp.log_in(location, "alice"))
    assert page.status_code == 403
    assert "Only Bob may log in." in text_of(page)
