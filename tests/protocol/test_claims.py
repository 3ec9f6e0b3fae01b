"""Claims about a user, and the hash of an access token."""

from __future__ import annotations

import pytest

from mcp_oidc.protocol.claims import CLAIMS_SUPPORTED, released_claims, token_hash

CLAIMS = {
    "sub": "at the IdP",
    "iss": "https://idp.example",
    "name": "Alice",
    "picture": None,
    "email": "alice@example.com",
    "email_verified": False,
    "groups": ["admins"],
}


@pytest.mark.parametrize(
    ("token", "algorithm", "expected"),
    [
        # OpenID Connect Core appendix A.4 (the front half of a SHA-256), then the other hashes.
        ("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "RS256", "77QmUPtjPfzWtF2AnpK9RQ"),
        ("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "ES256", "77QmUPtjPfzWtF2AnpK9RQ"),
        ("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "ES384", "jtAeDp945y1dDqU3nkIVGNZP1HjH_MFs"),
        ("jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y", "EdDSA", "q7nS86GgvvFaZkzALLWqJYaJIKw2wCDAVfCAsm5CrBM"),
    ],
)
def test_at_hash_is_that_of_openid_connect_core(token: str, algorithm: str, expected: str) -> None:
    assert token_hash(token, algorithm) == expected


@pytest.mark.parametrize(("algorithm", "length"), [("PS512", 43), ("Ed25519", 43)])
def test_at_hash_is_half_of_the_hash_of_its_algorithm(algorithm: str, length: int) -> None:
    assert len(token_hash("token", algorithm)) == length


@pytest.mark.parametrize(
    ("scopes", "expected"),
    [
        ((), {}),
        (("openid", "mcp"), {}),
        (("profile",), {"name": "Alice"}),
        (("email",), {"email": "alice@example.com", "email_verified": False}),
        (("openid", "email", "profile"), {"name": "Alice", "email": "alice@example.com", "email_verified": False}),
    ],
)
def test_scope_releases_its_claims_and_no_others(scopes: tuple[str, ...], expected: dict[str, object]) -> None:
    assert released_claims(CLAIMS, scopes) == expected


def test_supported_claims_hold_all_that_can_be_released() -> None:
    everything = dict.fromkeys(CLAIMS_SUPPORTED, "x")
    assert {"sub", *released_claims(everything, ("profile", "email"))} == set(CLAIMS_SUPPORTED)
