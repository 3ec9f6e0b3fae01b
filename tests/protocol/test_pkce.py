"""PKCE, with the example of RFC 7636 appendix B."""

from __future__ import annotations

import pytest

from mcp_oidc.protocol import pkce

VERIFIER = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"
CHALLENGE = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"


@pytest.mark.requirement("pkce-s256")
def test_challenge_is_that_of_rfc_7636_appendix_b() -> None:
    assert pkce.challenge_for(VERIFIER) == CHALLENGE
    assert pkce.is_verified(VERIFIER, CHALLENGE)


@pytest.mark.requirement("pkce-s256")
@pytest.mark.parametrize(
    "verifier", [VERIFIER[:-1], VERIFIER[:-1] + "K", VERIFIER + "A", CHALLENGE, "", VERIFIER + "=", "\u00e9" * 43]
)
def test_other_verifier_is_refused(verifier: str) -> None:
    assert not pkce.is_verified(verifier, CHALLENGE)


def test_connection_without_challenge_is_never_verified() -> None:
    assert not pkce.is_verified(VERIFIER, "")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a" * 43, True),
        ("a" * 128, True),
        ("A-Z.a_z~0" + "9" * 40, True),
        ("a" * 42, False),
        ("a" * 129, False),
        ("a" * 43 + "\n", False),
        ("a" * 42 + "+", False),
        ("a" * 42 + "\u00e9", False),
    ],
)
def test_verifier_has_43_to_128_unreserved_characters(text: str, expected: bool) -> None:
    assert pkce.is_verifier(text) is expected


@pytest.mark.parametrize("text", ["", CHALLENGE[:-1], CHALLENGE + "=", CHALLENGE + "A", CHALLENGE + "\n", "." * 43])
def test_challenge_that_no_sha_256_has_is_refused(text: str) -> None:
    assert not pkce.is_challenge(text)


def test_new_verifiers_are_valid_and_differ() -> None:
    first, second = pkce.new_verifier(), pkce.new_verifier()
    assert first != second
    assert pkce.is_verifier(first)
    assert pkce.is_challenge(pkce.challenge_for(first))
