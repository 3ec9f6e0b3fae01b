"""The ID token, one wrong thing at a time."""

from __future__ import annotations

import logging
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any

import pytest

from mcp_oidc.errors import UpstreamError
from mcp_oidc.models import AbstractClient, Identity, IdpTokenSet
from mcp_oidc.upstream.id_tokens import Expected, require_same_user
from tests.idp import Idp
from tests.idp_tokens import merged, sign
from tests.upstream.browser import Browser, authorize_url

HOUR = 3600


@dataclass(frozen=True)
class Soon:
    """A moment relative to the test, which may run long after this file was read."""

    seconds: float


def _resolved(claims: dict[str, Any]) -> dict[str, Any]:
    return {name: time.time() + value.seconds if isinstance(value, Soon) else value for name, value in claims.items()}


@pytest.mark.requirement("upstream-id-token")
@pytest.mark.parametrize(
    ("check", "claims"),
    [
        ("iss", {"iss": "https://evil.example"}),
        ("iss", {"iss": None}),
        ("iss", {"iss": ["https://evil.example"]}),
        ("aud", {"aud": "another client"}),
        ("aud", {"aud": None}),
        ("aud", {"aud": []}),
        ("aud", {"aud": {"relying:party": True}}),
        ("azp", {"aud": ["relying:party", "another client"]}),
        ("azp", {"aud": ["relying:party", "another client"], "azp": "another client"}),
        ("azp", {"azp": "another client"}),
        ("exp", {"exp": Soon(-5 * 60)}),
        ("exp", {"exp": None}),
        ("exp", {"exp": "tomorrow"}),
        ("exp", {"exp": True}),
        ("exp", {"exp": 1e300}),
        ("exp", {"exp": Soon(-61)}),
        ("iat", {"iat": Soon(5 * 60)}),
        ("iat", {"iat": None}),
        ("nbf", {"nbf": Soon(5 * 60)}),
        ("nbf", {"nbf": "soon"}),
        ("nonce", {"nonce": "of another login"}),
        ("nonce", {"nonce": None}),
        ("nonce", {"nonce": "\ud800"}),
        ("nonce", {"nonce": ["a list"]}),
        ("at_hash", {"at_hash": "of another token"}),
        ("at_hash", {"at_hash": 7}),
        ("sub", {"sub": None}),
        ("sub", {"sub": ""}),
        ("sub", {"sub": 7}),
        ("sub", {"sub": "s" * 256}),
        ("sub", {"sub": "a\0b"}),
    ],
)
def test_wrong_claim_is_refused_by_name(
    browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture, check: str, claims: dict[str, Any]
) -> None:
    idp.claims = _resolved(claims)
    with caplog.at_level(logging.WARNING):
        assert browser.log_in().status_code == 502
    assert f"failed the check of {check}" in caplog.text
    _assert_nobody_is_there(browser)


@pytest.mark.parametrize(
    "claims",
    [
        {"aud": ["relying:party"]},
        {"aud": ["relying:party", "another client"], "azp": "relying:party"},
        {"azp": "relying:party"},
        {"at_hash": None},
        {"exp": Soon(-30)},
        {"iat": Soon(30)},
        {"nbf": Soon(30)},
        {"exp": Soon(HOUR + 0.5)},
        {"auth_time": None},
        {"auth_time": "not a number"},
        {"auth_time": 1e200},
        {"sid": None},
        {"sid": ["not", "text"]},
    ],
)
def test_what_the_specification_allows_logs_in(browser: Browser, idp: Idp, claims: dict[str, Any]) -> None:
    idp.claims = _resolved(claims)
    assert browser.log_in().status_code == 302
    assert browser.who()["sub"] == "alice"


def test_sub_of_255_characters_and_any_script_is_kept_as_it_is(browser: Browser, idp: Idp) -> None:
    sub = "é" * 254 + "x"
    idp.users[sub] = {}
    assert browser.log_in(sub).status_code == 302
    assert Identity.objects.get().sub == sub


@pytest.mark.requirement("upstream-algorithms")
@pytest.mark.parametrize("forgery", ["none", "HS256"])
@pytest.mark.parametrize("advertised", [None, ["none", "HS256", "RS256"]])
def test_forged_signature_is_refused_whatever_the_metadata_says(
    browser: Browser, idp: Idp, forgery: str, advertised: list[str] | None
) -> None:
    idp.forgery = forgery
    idp.metadata = {"id_token_signing_alg_values_supported": advertised}
    assert browser.log_in().status_code == 502
    _assert_nobody_is_there(browser)


def test_algorithm_that_the_metadata_does_not_name_is_refused(browser: Browser, idp: Idp) -> None:
    idp.metadata = {"id_token_signing_alg_values_supported": ["ES256"]}
    assert browser.log_in().status_code == 502


def test_algorithm_of_another_family_than_the_key_is_refused(browser: Browser, idp: Idp) -> None:
    idp.metadata = {"id_token_signing_alg_values_supported": ["RS256", "PS256"]}
    idp.key_members = {"alg": "PS256"}
    assert browser.log_in().status_code == 502


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"])
def test_asymmetric_algorithms_of_the_metadata_are_taken(browser: Browser, idp: Idp, algorithm: str) -> None:
    idp.algorithm = algorithm
    assert browser.log_in().status_code == 302


def test_eddsa_is_taken(browser: Browser, idp: Idp) -> None:
    idp.algorithm = "EdDSA"
    assert browser.log_in().status_code == 302


def test_header_parameter_that_nobody_knows_is_ignored(browser: Browser, idp: Idp) -> None:
    idp.header = {"vendor": "x", "x5c": ["M" * 1500]}
    assert browser.log_in().status_code == 302


def test_critical_header_parameter_that_nobody_knows_is_refused(browser: Browser, idp: Idp) -> None:
    idp.header = {"vendor": "x", "crit": ["vendor"]}
    assert browser.log_in().status_code == 502


@pytest.mark.parametrize("id_token", [None, "", "a.b.c", "no token", "x" * 20_000, 7, ["a"], {"a": 1}, "é.é.é"])
def test_answer_without_a_readable_id_token_is_refused(browser: Browser, idp: Idp, id_token: object) -> None:
    idp.token_answer = {"id_token": id_token}
    assert browser.log_in().status_code == 502
    _assert_nobody_is_there(browser)


@pytest.mark.requirement("upstream-auth-time")
@pytest.mark.parametrize(("age", "client_error"), [(400, "server_error"), (None, "server_error"), (200, None)])
def test_login_must_be_as_recent_as_was_asked_for(
    browser: Browser, idp: Idp, public_client: AbstractClient, age: int | None, client_error: str | None
) -> None:
    idp.claims = {"auth_time": age and int(time.time()) - age}
    location = browser.client.get(authorize_url(public_client.client_id, max_age="300"))["Location"]
    back = browser.come_back(idp.log_in(location))
    answer = browser.client.get(back["Location"])
    if client_error is None:
        assert answer.status_code == 200
    else:
        assert f"error={client_error}" in answer["Location"]


def test_provider_that_does_not_say_when_the_login_was_is_named_in_the_log(
    browser: Browser, idp: Idp, public_client: AbstractClient, caplog: pytest.LogCaptureFixture
) -> None:
    idp.claims = {"auth_time": None}
    location = browser.client.get(authorize_url(public_client.client_id, max_age="300"))["Location"]
    browser.come_back(idp.log_in(location))
    assert "auth_time: missing, and max_age was asked for" in caplog.text


def test_encrypted_id_token_is_refused_with_the_way_out(
    browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    idp.token_answer = {"id_token": "eyJhbGciOiJSU0EtT0FFUCJ9.a2V5.aXY.Y2lwaGVydGV4dA.dGFn"}
    assert browser.log_in().status_code == 502
    assert "the ID token failed the check of encryption: it is encrypted, so turn that off" in caplog.text


@pytest.mark.parametrize(
    ("refreshed", "is_same"),
    [
        ({}, True),
        ({"aud": ["rp", "another"]}, True),
        ({"nonce": None, "auth_time": 5}, True),
        ({"sub": "bob"}, False),
        ({"sub": None}, False),
        ({"iss": "https://evil.example"}, False),
        ({"aud": "another"}, False),
        ({"aud": None}, False),
        ({"aud": [["rp"]]}, False),
    ],
)
def test_refreshed_id_token_is_of_the_same_user_and_client(refreshed: dict[str, Any], is_same: bool) -> None:
    claims = {"iss": "https://idp.example", "sub": "alice", "aud": "rp", "nonce": "n"}
    old, new = (sign(content, "RS256", "first", header={}) for content in (claims, merged(claims, refreshed)))
    with nullcontext() if is_same else pytest.raises(UpstreamError, match="a refresh brought"):
        require_same_user(new, old)


def test_login_of_the_future_does_not_stay_recent_for_ever(browser: Browser, idp: Idp) -> None:
    idp.claims = {"auth_time": time.time() + 10 * HOUR}
    browser.log_in()
    assert browser.who()["authenticated_at"] < time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + 60))


def test_nothing_secret_is_logged_when_a_token_is_refused(
    browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture
) -> None:
    idp.claims = {"nonce": "a-nonce-of-another-login", "email": "alice@secret.example"}
    with caplog.at_level(logging.DEBUG, logger="mcp_oidc"):
        callback_url = idp.log_in(browser.begin())
        browser.come_back(callback_url)
    secrets = [*idp.codes, *idp.access_tokens, *idp.refresh_tokens, idp.client_secret, idp.forms[0]["code_verifier"]]
    for secret in (*secrets, "a-nonce-of-another-login", "alice@secret.example"):
        assert secret not in caplog.text


def test_what_is_expected_of_a_token_does_not_print_the_access_token() -> None:
    expected = Expected("https://idp.example", "rp", "the-nonce", "the-access-token", None)
    assert "the-access-token" not in repr(expected)
    assert "the-nonce" not in repr(expected)


def _assert_nobody_is_there(browser: Browser) -> None:
    assert not Identity.objects.exists()
    assert not IdpTokenSet.objects.exists()
    assert "sessionid" not in browser.client.cookies
