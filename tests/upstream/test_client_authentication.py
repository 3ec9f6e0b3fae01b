"""How we prove at the token endpoint who we are."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest
from django.conf import LazySettings

from mcp_oidc.protocol.jwks import generate_jwk
from mcp_oidc.upstream.provider import Provider
from tests.idp import Idp
from tests.upstream.browser import Browser, configure_upstream

KEYS = {algorithm: generate_jwk(algorithm) for algorithm in ("RS256", "ES256", "EdDSA")}


class IssuerAudience(Provider):
    """For a provider that wants its issuer in an assertion."""

    @property
    def client_assertion_audience(self) -> str:
        return self.upstream.issuer


def use_key(
    idp: Idp, settings: LazySettings, algorithm: str = "ES256", *, upstream: Any = None, **members: Any
) -> None:
    """Have CLIENT_KEY sign for us, and `idp` know it. `members` are over those of the key; None takes one away."""
    key = KEYS[algorithm]
    private = {name: value for name, value in {**key.private, **members}.items() if value is not None}
    idp.auth_methods, idp.client_jwk = ("private_key_jwt", "client_secret_basic"), key.public
    configure_upstream(settings, {**idp.upstream, "CLIENT_SECRET": "", "CLIENT_KEY": private, **(upstream or {})})


@pytest.mark.requirement("upstream-client-authentication")
@pytest.mark.parametrize(
    ("methods", "secret_is_in_the_form"),
    [
        (None, False),
        (("client_secret_basic",), False),
        (("client_secret_post",), True),
        (("client_secret_post", "client_secret_basic"), False),
        (("private_key_jwt", "client_secret_post"), True),
    ],
)
def test_method_is_chosen_from_the_metadata(
    browser: Browser, idp: Idp, methods: tuple[str, ...] | None, secret_is_in_the_form: bool
) -> None:
    idp.auth_methods = methods
    assert browser.log_in().status_code == 302
    assert ("client_secret" in idp.forms[0]) is secret_is_in_the_form


def test_public_client_sends_its_id_alone(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    idp.auth_methods = ("none",)
    configure_upstream(settings, {**idp.upstream, "CLIENT_SECRET": ""})
    assert browser.log_in().status_code == 302
    assert idp.forms[0]["client_id"] == idp.client_id
    assert "client_secret" not in idp.forms[0]


def test_secret_that_no_method_takes_is_not_sent(browser: Browser, idp: Idp, caplog: pytest.LogCaptureFixture) -> None:
    idp.auth_methods = ("private_key_jwt",)
    with caplog.at_level(logging.WARNING):
        assert browser.log_in().status_code == 502
    assert idp.requests["token"] == 0
    assert "CLIENT_AUTH" in caplog.text


def test_wrong_secret_logs_nobody_in(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    configure_upstream(settings, {**idp.upstream, "CLIENT_SECRET": "wrong"})
    assert browser.log_in().status_code == 502
    assert browser.who()["user"] is None


def test_es256_and_post_go_together(browser: Browser, idp: Idp) -> None:
    idp.auth_methods, idp.algorithm = ("client_secret_post",), "ES256"
    assert browser.log_in().status_code == 302


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post", "none"])
def test_method_by_hand_is_used_whatever_the_metadata_says(
    browser: Browser, idp: Idp, settings: LazySettings, method: str
) -> None:
    idp.auth_methods, idp.metadata = (method,), {"token_endpoint_auth_methods_supported": ["tls_client_auth"]}
    configure_upstream(settings, {**idp.upstream, "CLIENT_AUTH": method})
    assert browser.log_in().status_code == 302
    assert ("client_secret" in idp.forms[0]) is (method == "client_secret_post")


@pytest.mark.requirement("upstream-private-key-jwt")
@pytest.mark.parametrize("algorithm", KEYS)
def test_key_signs_for_us_where_the_provider_takes_that(
    browser: Browser, idp: Idp, settings: LazySettings, algorithm: str
) -> None:
    use_key(idp, settings, algorithm)
    assert browser.log_in().status_code == 302
    ((header, claims),) = idp.assertions
    assert header == {"alg": algorithm, "typ": "JWT", "kid": KEYS[algorithm].kid}
    # It says no more than it must, and for one endpoint alone: no list, no nbf.
    assert set(claims) == {"iss", "sub", "aud", "jti", "iat", "exp"}
    assert "client_secret" not in idp.forms[0]
    assert idp.forms[0]["client_id"] == idp.client_id


@pytest.mark.requirement("upstream-private-key-jwt")
def test_each_request_has_an_assertion_of_its_own(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    use_key(idp, settings)
    for _ in range(2):
        assert browser.log_in().status_code == 302
    assert len({claims["jti"] for _, claims in idp.assertions}) == 2


@pytest.mark.parametrize(
    ("algorithm", "members", "offered", "used"),
    [
        ("RS256", {"alg": None}, None, "RS256"),
        ("RS256", {"alg": None}, ["PS256", "ES256"], "PS256"),
        ("RS256", {"alg": None}, ["PS256", "RS256"], "RS256"),
        ("RS256", {"alg": "PS256"}, None, "PS256"),
        ("RS256", {"alg": "PS256"}, ["RS256", "PS256"], "PS256"),
        ("ES256", {}, ["RS256", "ES256"], "ES256"),
        ("EdDSA", {"alg": None}, ["EdDSA"], "EdDSA"),
    ],
)
def test_algorithm_is_one_of_the_key_and_of_the_metadata(
    browser: Browser,
    idp: Idp,
    settings: LazySettings,
    algorithm: str,
    members: dict[str, Any],
    offered: list[str] | None,
    used: str,
) -> None:
    idp.metadata = {"token_endpoint_auth_signing_alg_values_supported": offered}
    use_key(idp, settings, algorithm, **members)
    assert browser.log_in().status_code == 302
    assert idp.assertions[0][0]["alg"] == used


@pytest.mark.parametrize(("algorithm", "members"), [("ES256", {}), ("RS256", {"alg": "RS256"})])
def test_algorithm_that_the_provider_does_not_take_is_named(
    browser: Browser,
    idp: Idp,
    settings: LazySettings,
    caplog: pytest.LogCaptureFixture,
    algorithm: str,
    members: dict[str, Any],
) -> None:
    idp.metadata = {"token_endpoint_auth_signing_alg_values_supported": ["PS256"]}
    use_key(idp, settings, algorithm, **members)
    with caplog.at_level(logging.WARNING):
        assert browser.log_in().status_code == 502
    assert idp.requests["token"] == 0
    assert "PS256" in caplog.text
    assert algorithm in caplog.text


def test_key_is_named_as_the_provider_knows_it(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    # Microsoft Entra goes by the certificate, and a key id that it does not know would not do.
    use_key(idp, settings, "RS256", alg="PS256", kid=None, **{"x5t#S256": "thumbprint"})
    assert browser.log_in().status_code == 302
    assert idp.assertions[0][0] == {"alg": "PS256", "typ": "JWT", "x5t#S256": "thumbprint"}


def test_key_may_be_json(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    use_key(idp, settings, upstream={"CLIENT_KEY": json.dumps(KEYS["ES256"].private)})
    assert browser.log_in().status_code == 302
    assert idp.assertions


def test_key_goes_before_the_secret_where_the_provider_takes_both(
    browser: Browser, idp: Idp, settings: LazySettings
) -> None:
    use_key(idp, settings, upstream={"CLIENT_SECRET": idp.client_secret})
    assert browser.log_in().status_code == 302
    assert idp.assertions


def test_secret_serves_where_the_provider_does_not_take_the_key(
    browser: Browser, idp: Idp, settings: LazySettings
) -> None:
    use_key(idp, settings, upstream={"CLIENT_SECRET": idp.client_secret})
    idp.auth_methods = ("client_secret_basic",)
    assert browser.log_in().status_code == 302
    assert not idp.assertions


def test_key_that_the_provider_does_not_take_makes_nobody_public(
    browser: Browser, idp: Idp, settings: LazySettings
) -> None:
    use_key(idp, settings)
    idp.auth_methods = ("client_secret_basic", "none")
    assert browser.log_in().status_code == 502
    assert idp.requests["token"] == 0


def test_key_by_hand_signs_whatever_the_metadata_says(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    use_key(idp, settings, upstream={"CLIENT_AUTH": "private_key_jwt", "CLIENT_SECRET": idp.client_secret})
    idp.metadata = {"token_endpoint_auth_methods_supported": ["client_secret_basic"]}
    assert browser.log_in().status_code == 302
    assert idp.assertions


def test_key_that_cannot_be_used_is_an_error_page_and_told_without_the_key(
    browser: Browser, idp: Idp, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    use_key(idp, settings, upstream={"CLIENT_KEY": {"kty": "oct", "k": "a-secret"}})
    with caplog.at_level(logging.WARNING):
        assert browser.log_in().status_code == 502
    assert "CLIENT_KEY" in caplog.text
    assert "a-secret" not in caplog.text


def test_class_decides_for_whom_an_assertion_is(browser: Browser, idp: Idp, settings: LazySettings) -> None:
    path = "tests.upstream.test_client_authentication.IssuerAudience"
    use_key(idp, settings, upstream={"CLIENT_CLASS": path})
    # This one wants its token endpoint.
    assert browser.log_in().status_code == 502
    assert idp.assertions[0][1]["aud"] == idp.issuer
