"""What the log holds after a client's whole life: what happened, and nothing that could be used."""

from __future__ import annotations

import logging

import pytest
from django.db import OperationalError, connection
from django.test import Client as Browser

from mcp_oidc.core.clients import Registration
from mcp_oidc.models import Event
from tests.server.authorizations import (
    VERIFIER,
    answer_of,
    authorize_url,
    basic,
    code_params,
    form_of,
    json_of,
    post_form,
    press,
)

STATE = "a-state-that-nobody-else-should-see"
NONCE = "a-nonce-that-nobody-else-should-see"


@pytest.fixture
def everything(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    """Every record of every logger."""
    caplog.set_level(logging.DEBUG)
    for name in ("mcp_oidc", "mcp_oidc.audit", "oauthlib", "oauth2_provider", "django.request", "django.security"):
        caplog.set_level(logging.DEBUG, logger=name)
    return caplog


def written(caplog: pytest.LogCaptureFixture) -> str:
    """All that a handler could write of the records: messages, arguments, extras and tracebacks."""
    # Without the request, which Django hangs on records of its own and which no formatter writes.
    extras = [{name: value for name, value in vars(record).items() if name != "request"} for record in caplog.records]
    lines = [f"{record.getMessage()} {extra!r}" for record, extra in zip(caplog.records, extras, strict=True)]
    return "\n".join([caplog.text, *lines])


@pytest.mark.requirement("log-no-secrets")
def test_no_secret_is_logged_or_audited_in_a_whole_life(
    everything: pytest.LogCaptureFixture, browser: Browser, confidential_client: Registration
) -> None:
    client, secret = confidential_client.client, str(confidential_client.secret)
    header = basic(client.client_id, secret)
    url = authorize_url(client, state=STATE, nonce=NONCE)
    page = browser.get(url)
    code = answer_of(press(browser, page, "allow"))["code"]

    def post(path: str, **params: str) -> dict[str, str]:
        response = post_form(path, params, Authorization=header)
        return json_of(response, response.status_code)

    post("/token", **{**code_params(client, code), "code_verifier": "wrong" * 10})
    first = post("/token", **code_params(client, code))
    second = post("/token", grant_type="refresh_token", refresh_token=first["refresh_token"])
    browser.get("/me", headers={"Authorization": f"Bearer {second['access_token']}"})
    post("/token/introspection", token=second["access_token"])
    post("/token/introspection", token=second["refresh_token"])
    # Everything that goes wrong: a replay, two methods at once, a token at the wrong door, a broken request.
    post("/token", **code_params(client, code))
    post("/token", **{**code_params(client, code), "client_secret": secret})
    post("/token", grant_type="refresh_token", refresh_token=first["refresh_token"] + "x")
    browser.get("/me", headers={"Authorization": f"Bearer {second['refresh_token']}"})
    browser.get(f"/authorize?client_id=unknown&state={STATE}&code={code}")
    browser.get(authorize_url(client, state=STATE, nonce=NONCE, code_challenge_method="plain"))
    post("/token/revocation", token=second["refresh_token"])
    post("/token/revocation", token=second["access_token"])

    secrets = {
        code,
        VERIFIER,
        "wrong" * 10,
        secret,
        header.removeprefix("Basic "),
        STATE,
        NONCE,
        *(tokens[kind] for tokens in (first, second) for kind in ("access_token", "refresh_token")),
        first["id_token"],
        form_of(page)["csrfmiddlewaretoken"],
    }
    log = written(everything) + repr(list(Event.objects.values()))
    assert "connection.issued" in log
    assert "code_reused" in log
    assert sorted(found for found in secrets if found in log) == []


@pytest.mark.requirement("log-no-secrets")
def test_no_secret_is_in_the_traceback_of_an_outage(
    everything: pytest.LogCaptureFixture, confidential_client: Registration, confidential_code: str
) -> None:
    def refuse(*args: object) -> None:
        raise OperationalError("server closed the connection unexpectedly")

    client, secret = confidential_client.client, str(confidential_client.secret)
    with connection.execute_wrapper(refuse):
        json_of(post_form("/token", code_params(client, confidential_code, client_secret=secret)), 503)
    log = written(everything)
    assert "server closed the connection" in log
    assert not any(found in log for found in (confidential_code, secret, VERIFIER))
