"""What clients and people are told while the database does not answer, and what transactions must not undo."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import OperationalError, connection, connections
from django.test import Client as Browser

from mcp_oidc.core.keys import forget_keys, key_ring
from mcp_oidc.models import AbstractClient, Connection
from tests.factories import REDIRECT_URI
from tests.server.authorizations import (
    approve,
    assert_still_good,
    authorize_url,
    code_params,
    json_of,
    post_form,
    press,
    refresh_params,
    text_of,
)


@contextmanager
def database_down(*, only: str = "") -> Iterator[None]:
    """Let every statement fail, or those that begin with `only`."""

    def refuse(execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
        if sql.startswith(only):
            raise OperationalError("server closed the connection unexpectedly")
        return execute(sql, *rest)

    with connection.execute_wrapper(refuse):
        yield


@pytest.fixture(params=[False, True], ids=["autocommit", "atomic requests"])
def _atomic_requests(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connections.settings["default"], "ATOMIC_REQUESTS", request.param)


pytestmark = pytest.mark.usefixtures("_atomic_requests")


def assert_is_outage(response: Any) -> None:
    document = json_of(response, 503)
    assert document["error"] == "temporarily_unavailable"
    assert int(response["Retry-After"]) > 0
    assert response["Cache-Control"] == "no-store"


@pytest.mark.requirement("outage-told-seldom")
def test_log_tells_of_an_outage_once_however_many_meet_it(
    browser: Browser, public_client: AbstractClient, caplog: pytest.LogCaptureFixture
) -> None:
    with database_down():
        for _ in range(5):
            assert_is_outage(post_form("/token", code_params(public_client, "x")))
            assert browser.get(authorize_url(public_client)).status_code == 503
    told = [record for record in caplog.records if record.name.startswith("mcp_oidc")]
    assert [record.getMessage() for record in told] == ["the database does not answer"]
    assert told[0].exc_info is not None


@pytest.mark.requirement("outage-503")
@pytest.mark.parametrize("path", ["/token", "/token/revocation", "/token/introspection"])
def test_outage_is_told_to_clients_as_one_and_never_as_a_bad_grant(
    public_client: AbstractClient, code: str, path: str
) -> None:
    asked = code_params(public_client, code, token="x")
    with database_down():
        assert_is_outage(post_form(path, asked))
    assert_still_good(public_client, code)


@pytest.mark.requirement("outage-503")
def test_registration_during_an_outage_may_be_tried_again(client: Browser, db: None) -> None:
    body = json.dumps({"redirect_uris": [REDIRECT_URI]})
    with database_down():
        assert_is_outage(client.post("/register", body, content_type="application/json"))
    assert client.post("/register", body, content_type="application/json").status_code == 201


@pytest.mark.requirement("outage-503")
def test_userinfo_during_an_outage_is_not_a_revocation(client: Browser, tokens: dict[str, str]) -> None:
    key_ring()
    with database_down():
        assert_is_outage(client.get("/me", headers={"Authorization": f"Bearer {tokens['access_token']}"}))


@pytest.mark.requirement("outage-503")
@pytest.mark.parametrize("path", ["/jwks", "/.well-known/oauth-authorization-server"])
def test_keys_that_a_process_has_read_outlast_an_outage(client: Browser, db: None, path: str) -> None:
    forget_keys()
    with database_down():
        assert_is_outage(client.get(path))
    before = client.get(path)
    with database_down():
        assert client.get(path).content == before.content


@pytest.mark.requirement("outage-503")
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("statement", ["UPDATE", "INSERT"])
def test_write_that_fails_uses_no_code_up(public_client: AbstractClient, code: str, statement: str) -> None:
    with database_down(only=statement):
        assert_is_outage(post_form("/token", code_params(public_client, code)))
    assert_still_good(public_client, code)


@pytest.mark.requirement("outage-503")
@pytest.mark.django_db(transaction=True)
def test_write_that_fails_uses_no_refresh_token_up(public_client: AbstractClient, tokens: dict[str, str]) -> None:
    with database_down(only="UPDATE"):
        assert_is_outage(post_form("/token", refresh_params(public_client, tokens)))
    json_of(post_form("/token", refresh_params(public_client, tokens)), 200)


@pytest.mark.requirement("outage-503")
def test_outage_is_told_to_people_on_a_page(
    stranger: Browser, browser: Browser, public_client: AbstractClient, user: AbstractBaseUser
) -> None:
    url = authorize_url(public_client)
    page = browser.get(url)
    with database_down():
        answers = [stranger.get(url), browser.get(url), press(browser, page, "allow")]
    assert [answer.status_code for answer in answers] == [503, 503, 503]
    assert all("The server cannot reach its database." in text_of(answer) for answer in answers)
    assert "code" in approve(browser, public_client)


@pytest.mark.requirement("outage-503")
def test_approval_that_could_not_be_kept_is_not_half_kept(browser: Browser, public_client: AbstractClient) -> None:
    page = browser.get(authorize_url(public_client))
    with database_down(only="INSERT"):
        assert press(browser, page, "allow").status_code == 503
    assert not Connection.objects.exists()


@pytest.mark.requirement("revocation-outlasts-error")
@pytest.mark.django_db(transaction=True)
def test_what_was_revoked_before_an_error_stays_revoked(
    browser: Browser, client: Browser, public_client: AbstractClient
) -> None:
    code = approve(browser, public_client)["code"]
    tokens = json_of(post_form("/token", code_params(public_client, code)), 200)
    assert json_of(post_form("/token", code_params(public_client, code)), 400)["error"] == "invalid_grant"
    assert Connection.objects.get().revoked_reason == "code_reused"
    assert json_of(post_form("/token", refresh_params(public_client, tokens)), 400)["error"] == "invalid_grant"
    assert client.get("/me", headers={"Authorization": f"Bearer {tokens['access_token']}"}).status_code == 401


def test_unexpected_error_is_an_oauth_error_without_its_cause(
    public_client: AbstractClient, code: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **kwargs: Any) -> None:
        raise RuntimeError("the secret of the house")

    monkeypatch.setattr("mcp_oidc.server.tokens.redeem_code", fail)
    response = post_form("/token", code_params(public_client, code))
    assert json_of(response, 500)["error"] == "server_error"
    assert b"secret of the house" not in response.content
