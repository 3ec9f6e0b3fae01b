"""Whichever check fails: the client gets an OAuth error, the person a page, the audit an event, the log its name."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from mcp_oidc.models import AbstractClient, Event, Identity
from tests.idp import Idp, Reply
from tests.upstream.browser import Browser, authorize_url

ENCRYPTED = "eyJhbGciOiJSU0EtT0FFUCJ9.a2V5.aXY.Y2lwaGVydGV4dA.dGFn"
Check = tuple[str, dict[str, Any]]
CHECKS: list[Check] = [
    ("the answer failed the check of iss", {"answer": {"iss": "https://evil.example"}}),
    ("the answer holds neither a code nor an error", {"answer": {"code": None}}),
    ("the ID token failed the check of encryption", {"token_answer": {"id_token": ENCRYPTED}}),
    ("the ID token failed the check of signature", {"forgery": "none"}),
    ("the check of the signature failed", {"published_keys": ["second"]}),
    ("the ID token failed the check of iss", {"claims": {"iss": "https://evil.example"}}),
    ("the ID token failed the check of aud", {"claims": {"aud": "another client"}}),
    ("the ID token failed the check of azp", {"claims": {"azp": "another client"}}),
    ("the ID token failed the check of sub", {"claims": {"sub": None}}),
    ("the ID token failed the check of exp", {"claims": {"exp": 1}}),
    ("the ID token failed the check of iat", {"claims": {"iat": None}}),
    ("the ID token failed the check of nbf", {"claims": {"nbf": 90_000_000_000}}),
    ("the ID token failed the check of nonce", {"claims": {"nonce": "of another login"}}),
    ("the ID token failed the check of at_hash", {"claims": {"at_hash": "of another token"}}),
    ("userinfo failed the check of sub", {"userinfo": {"sub": "bob"}}),
    ("userinfo failed the check of iss", {"signs_userinfo": True, "userinfo": {"iss": None}}),
    ("userinfo failed the check of signature", {"signs_userinfo": True, "userinfo_forgery": "HS256"}),
    (
        "userinfo failed the check of encryption",
        {"userinfo_reply": Reply(body=ENCRYPTED.encode(), headers={"Content-Type": "application/jwt"})},
    ),
]
# Made only where the client asks for a recent login.
AUTH_TIME: Check = ("the ID token failed the check of auth_time", {"claims": {"auth_time": 1}})


@pytest.fixture
def failing(request: pytest.FixtureRequest, idp: Idp) -> str:
    """A provider at which that check fails; what is said of it."""
    message, changes = request.param
    for name, value in changes.items():
        setattr(idp, name, value)
    return str(message)


@pytest.mark.requirement("upstream-failed-check")
@pytest.mark.parametrize("failing", CHECKS, indirect=True, ids=lambda check: check[0])
def test_failed_check_is_a_page_for_the_person(browser: Browser, failing: str) -> None:
    page = browser.log_in()
    assert page.status_code == 502
    assert "could not be verified" in page.content.decode()
    assert 'href="/oauth/login?next=%2Fafter"' in page.content.decode()
    assert not Identity.objects.exists()


@pytest.mark.requirement("upstream-failed-check")
@pytest.mark.parametrize("failing", [*CHECKS, AUTH_TIME], indirect=True, ids=lambda check: check[0])
def test_failed_check_is_told_to_client_audit_and_log(
    browser: Browser, idp: Idp, public_client: AbstractClient, caplog: pytest.LogCaptureFixture, failing: str
) -> None:
    with caplog.at_level(logging.INFO):
        location = browser.client.get(authorize_url(public_client.client_id, max_age="60"))["Location"]
        back = browser.come_back(idp.log_in(location))["Location"]
    answer = parse_qs(urlsplit(browser.client.get(back)["Location"]).query)
    assert (answer["error"], answer["state"]) == (["server_error"], ["client-state"])
    event = Event.objects.get(kind="login")
    assert event.outcome == "refused"
    assert event.reason.startswith(failing)
    assert failing in caplog.text
    for secret in _secrets(idp):
        assert secret not in caplog.text + event.reason


def _secrets(idp: Idp) -> list[str]:
    verifiers = [form["code_verifier"] for form in idp.forms]
    nonces = [grant.params["nonce"] for grant in idp.codes.values()]
    # "eyJ" begins every JWT.
    return [*idp.codes, *idp.access_tokens, *idp.refresh_tokens, *verifiers, *nonces, idp.client_secret, "eyJ"]
