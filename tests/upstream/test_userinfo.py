"""Userinfo: it completes the ID token, and must be the same person's."""

from __future__ import annotations

import logging
from typing import Any

import pytest
from django.contrib.auth import get_user_model

from mcp_oidc.models import Identity
from mcp_oidc.upstream.claims import describe_login
from tests.idp import Idp, Reply
from tests.upstream.browser import Browser


def test_claims_are_completed_where_the_id_token_has_only_sub(browser: Browser, idp: Idp) -> None:
    idp.has_sub_only_id_tokens = True
    browser.log_in()
    claims = Identity.objects.get().claims
    assert (claims["name"], claims["email"], claims["email_verified"]) == ("Alice", "alice@example.com", True)
    assert get_user_model().objects.get().get_username() == "alice"


@pytest.mark.requirement("upstream-userinfo-sub")
@pytest.mark.parametrize("sub", ["bob", None, "", ["alice"], "ALICE"])
def test_userinfo_of_somebody_else_is_refused(browser: Browser, idp: Idp, sub: object) -> None:
    idp.userinfo = {"sub": sub}
    assert browser.log_in().status_code == 502
    assert not Identity.objects.exists()


def test_login_needs_no_userinfo(browser: Browser, idp: Idp) -> None:
    idp.metadata = {"userinfo_endpoint": None}
    assert browser.log_in().status_code == 302
    assert Identity.objects.get().claims["name"] == "Alice"


@pytest.mark.parametrize("status", [401, 403])
def test_userinfo_that_does_not_take_the_token_is_done_without(browser: Browser, idp: Idp, status: int) -> None:
    idp.faults = {"userinfo": status}
    assert browser.log_in().status_code == 302


def test_id_token_outweighs_userinfo(browser: Browser, idp: Idp) -> None:
    idp.userinfo = {"name": "Somebody", "iss": "https://evil.example"}
    browser.log_in()
    claims = Identity.objects.get().claims
    assert (claims["name"], claims["iss"]) == ("Alice", idp.issuer)


@pytest.mark.requirement("upstream-userinfo-adds")
def test_userinfo_adds_what_the_id_token_leaves_out_or_calls_null() -> None:
    id_token = {"iss": "https://idp.example", "sub": "alice", "name": "Alice", "nickname": None}
    userinfo = {"sub": "alice", "name": "Somebody", "nickname": "Al", "groups": ["staff"]}
    claims = describe_login(id_token, userinfo).claims
    assert (claims["name"], claims["nickname"], claims["groups"]) == ("Alice", "Al", ["staff"])


@pytest.mark.requirement("upstream-userinfo-adds")
@pytest.mark.parametrize("name", ["acr", "amr", "auth_time", "iss"])
def test_userinfo_says_nothing_about_the_login_itself(browser: Browser, idp: Idp, name: str) -> None:
    idp.claims = {"auth_time": None}
    idp.userinfo = {name: "said by userinfo"}
    browser.log_in()
    assert Identity.objects.get().claims.get(name) in (None, idp.issuer)


def test_endpoints_and_tokens_of_other_claim_providers_are_not_kept(browser: Browser, idp: Idp) -> None:
    idp.userinfo = {
        "_claim_names": {"groups": "src1"},
        "_claim_sources": {"src1": {"endpoint": "https://graph.example/", "access_token": "of-somebody-else"}},
    }
    browser.log_in()
    claims = Identity.objects.get().claims
    assert claims["_claim_names"] == {"groups": "src1"}
    assert "_claim_sources" not in claims


@pytest.mark.requirement("upstream-userinfo-signed")
@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "PS256"])
def test_signed_userinfo_is_verified_and_taken(browser: Browser, idp: Idp, algorithm: str) -> None:
    idp.algorithm, idp.signs_userinfo, idp.has_sub_only_id_tokens = algorithm, True, True
    idp.metadata = {"userinfo_signing_alg_values_supported": [algorithm]}
    assert browser.log_in().status_code == 302
    claims = Identity.objects.get().claims
    assert (claims["name"], claims["email"]) == ("Alice", "alice@example.com")
    assert "aud" not in claims


@pytest.mark.parametrize(
    "userinfo",
    [{"aud": ["relying:party", "another client"]}, {"exp": 4_000_000_000.5}, {"exp": None, "iat": None}],
)
def test_signed_userinfo_within_the_specification_is_taken(
    browser: Browser, idp: Idp, userinfo: dict[str, Any]
) -> None:
    idp.signs_userinfo, idp.userinfo = True, userinfo
    assert browser.log_in().status_code == 302


@pytest.mark.requirement("upstream-userinfo-signed")
@pytest.mark.parametrize(
    ("check", "userinfo"),
    [
        ("iss", {"iss": "https://evil.example"}),
        ("iss", {"iss": None}),
        ("aud", {"aud": "another client"}),
        ("aud", {"aud": None}),
        ("aud", {"aud": {"relying:party": 1}}),
        ("sub", {"sub": "bob"}),
        ("sub", {"sub": None}),
        ("exp", {"exp": 1_000_000_000}),
        ("exp", {"exp": "never"}),
        ("iat", {"iat": 90_000_000_000}),
        ("nbf", {"nbf": 90_000_000_000}),
    ],
)
def test_signed_userinfo_with_a_wrong_claim_is_refused_by_name(
    browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture, check: str, userinfo: dict[str, Any]
) -> None:
    idp.signs_userinfo, idp.userinfo = True, userinfo
    _assert_refused(browser, caplog, f"userinfo failed the check of {check}")


@pytest.mark.requirement("upstream-userinfo-signed")
@pytest.mark.parametrize("forgery", ["none", "HS256"])
@pytest.mark.parametrize("advertised", [None, ["none", "HS256", "RS256"]])
def test_forged_userinfo_is_refused_whatever_the_metadata_says(
    browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture, forgery: str, advertised: list[str] | None
) -> None:
    idp.signs_userinfo, idp.userinfo_forgery = True, forgery
    idp.metadata = {"userinfo_signing_alg_values_supported": advertised}
    _assert_refused(browser, caplog, "userinfo failed the check of signature")


@pytest.mark.parametrize("advertised", [["ES256"], ["none"], []])
def test_userinfo_signed_in_a_way_that_the_metadata_does_not_name_is_refused(
    browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture, advertised: list[str]
) -> None:
    idp.signs_userinfo = True
    idp.metadata = {"userinfo_signing_alg_values_supported": advertised}
    _assert_refused(browser, caplog, "userinfo failed the check of signature")


@pytest.mark.parametrize(
    ("check", "body"),
    [
        ("encryption", b"eyJhbGciOiJSU0EtT0FFUCJ9.a2V5.aXY.Y2lwaGVydGV4dA.dGFn"),
        ("signature", b"no token"),
        ("signature", b""),
        ("signature", b'{"sub": "alice"}'),
        ("signature", b"e30.e30." + b"A" * 200_000),
        ("form", b"\xff\xfe.e30."),
    ],
)
def test_userinfo_that_is_no_readable_jwt_is_refused_by_name(
    browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture, check: str, body: bytes
) -> None:
    idp.userinfo_reply = Reply(body=body, headers={"Content-Type": "application/jwt"})
    _assert_refused(browser, caplog, f"userinfo failed the check of {check}")


@pytest.mark.requirement("upstream-email-verified")
@pytest.mark.parametrize(
    ("in_id_token", "in_userinfo", "email", "verified"),
    [
        ({"email": "a@x.example"}, {"email": "b@x.example", "email_verified": True}, "a@x.example", False),
        ({"email": "a@x.example"}, {"email": "a@x.example", "email_verified": True}, "a@x.example", True),
        ({"email_verified": True}, {"email": "b@x.example"}, "b@x.example", False),
        ({"email": "a@x.example", "email_verified": False}, {}, "a@x.example", False),
        ({}, {"email": "b@x.example", "email_verified": True}, "b@x.example", True),
        ({"email": "a@x.example", "email_verified": "true"}, {}, "a@x.example", True),
        ({"email": "a@x.example", "email_verified": "false"}, {}, "a@x.example", False),
        ({"email": "a@x.example", "email_verified": ["true"]}, {}, "a@x.example", False),
        (
            {"email": "a@x.example", "email_verified": False},
            {"email": "a@x.example", "email_verified": True},
            "a@x.example",
            False,
        ),
    ],
)
def test_email_is_verified_only_by_a_word_about_that_very_address(
    browser: Browser,
    idp: Idp,
    in_id_token: dict[str, Any],
    in_userinfo: dict[str, Any],
    email: str,
    verified: bool,
) -> None:
    idp.users["carol"] = {}
    idp.claims, idp.userinfo = in_id_token, in_userinfo
    browser.log_in("carol")
    claims = Identity.objects.get().claims
    assert (claims["email"], claims["email_verified"]) == (email, verified)


def test_claims_about_the_token_are_not_kept(browser: Browser) -> None:
    browser.log_in()
    assert not {"nonce", "at_hash", "aud", "exp", "iat"} & Identity.objects.get().claims.keys()


@pytest.mark.parametrize("name", ["Al\0ice", "\ud800", {"a": {"b": [[[[[[[[[1]]]]]]]]]}}])
def test_claim_that_no_database_stores_is_refused_and_no_stack_trace(browser: Browser, idp: Idp, name: object) -> None:
    idp.claims = {"name": name}
    assert browser.log_in().status_code == 502
    assert not Identity.objects.exists()


@pytest.mark.parametrize("name", ["Al\0ice", "\ud800", ["x"] * 5, 7, True, "é" * 3000, "<script>alert(1)</script>"])
def test_strange_userinfo_is_no_stack_trace(browser: Browser, idp: Idp, name: object) -> None:
    idp.users["dave"] = {}
    idp.userinfo = {"given_name": name, "preferred_username": name, "email": name}
    assert browser.log_in("dave").status_code in (302, 502, 503)


def _assert_refused(browser: Browser, caplog: pytest.LogCaptureFixture, message: str) -> None:
    with caplog.at_level(logging.WARNING):
        assert browser.log_in().status_code == 502
    assert message in caplog.text
    assert not Identity.objects.exists()
