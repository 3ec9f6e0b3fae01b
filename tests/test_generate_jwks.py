"""`manage.py generate_jwks`."""

from __future__ import annotations

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.test import Client, override_settings
from jwcrypto.jwk import JWK

from mcp_oidc.models import SigningKey
from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS, parse_private_jwks
from tests.factories import ISSUER


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("generate_jwks", *arguments, stdout=output)
    return output.getvalue()


def only_key(output: str) -> dict[str, Any]:
    (key,) = json.loads(output)["keys"]
    return dict(key)


@pytest.mark.requirement("generate-jwks")
def test_key_is_rsa_of_2048_bits_and_named_by_its_thumbprint() -> None:
    key = only_key(run())
    assert (key["kty"], key["alg"], key["use"]) == ("RSA", "RS256", "sig")
    jwk = JWK(**key)
    assert key["kid"] == jwk.thumbprint()
    private = jwk.get_op_key("sign")
    assert isinstance(private, RSAPrivateKey)
    assert private.key_size == 2048


@pytest.mark.requirement("generate-jwks")
@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_output_is_one_that_the_server_takes(algorithm: str) -> None:
    output = run("--alg", algorithm)
    (key,) = parse_private_jwks(output)
    assert (key.algorithm, key.kid) == (algorithm, only_key(output)["kid"])


def test_output_is_one_line_or_pretty() -> None:
    assert run().count("\n") == 1
    pretty = run("--pretty")
    assert pretty.startswith('{\n  "keys": [\n')
    assert only_key(pretty)["kty"] == "RSA"


def test_no_two_keys_are_the_same() -> None:
    assert only_key(run("--alg", "ES256"))["kid"] != only_key(run("--alg", "ES256"))["kid"]


@pytest.mark.parametrize("algorithm", ["HS256", "none", "RS512", "rs256"])
def test_algorithm_that_we_do_not_sign_with_is_refused(algorithm: str) -> None:
    with pytest.raises(CommandError, match="invalid choice"):
        run("--alg", algorithm)


@pytest.mark.django_db
@pytest.mark.requirement("generate-jwks")
def test_key_in_the_environment_is_the_one_that_is_published(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    output = run()
    monkeypatch.setenv("JWKS", output)
    assert [key["kid"] for key in client.get("/jwks").json()["keys"]] == [only_key(output)["kid"]]
    assert not SigningKey.objects.exists()


@pytest.mark.django_db
@pytest.mark.requirement("generate-jwks")
@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_saved_key_signs_and_those_before_it_go_on_verifying(client: Client, algorithm: str) -> None:
    before = client.get("/jwks").json()["keys"]
    output = run("--save", "--alg", algorithm)
    after = client.get("/jwks").json()["keys"]
    assert after[1:] == before
    assert after[0]["kid"] in output
    assert after[0]["alg"] == algorithm


@pytest.mark.django_db
def test_saved_key_is_neither_printed_nor_kept_in_clear() -> None:
    output = run("--save", "--alg", "ES256")
    row = SigningKey.objects.get()
    assert "{" not in output
    assert "d" not in row.public_jwk
    assert '"d"' not in row.payload


@pytest.mark.django_db
def test_saved_key_that_will_not_be_used_is_not_said_to_be() -> None:
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "JWKS": run("--alg", "ES256")}):
        assert "New tokens are signed" not in run("--save", "--alg", "ES256")


@pytest.mark.requirement("key-rotation")
@pytest.mark.parametrize("given", ["setting", "environment", "file"])
def test_appended_key_stands_behind_those_that_there_are(
    given: str, settings: LazySettings, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    before = run("--alg", "EdDSA")
    (tmp_path / "keys.json").write_text(before)
    if given == "environment":
        monkeypatch.setenv("JWKS", before)
    else:
        source = before if given == "setting" else tmp_path / "keys.json"
        settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": source}
    old, new = parse_private_jwks(run("--append"))
    assert old.private == only_key(before)
    # Of the same kind, unless asked for another.
    assert new.algorithm == "EdDSA"
    assert [key.algorithm for key in parse_private_jwks(run("--append", "--alg", "ES256"))] == ["EdDSA", "ES256"]


@pytest.mark.parametrize(
    ("jwks", "told"),
    [
        ("", "mcp_oidc_rotate_keys"),
        ("/no/such/file", "MCP_OIDC\\['JWKS'\\] must be"),
        ('{"keys": []}', "holds no key"),
    ],
)
def test_there_must_be_a_set_to_append_to(settings: LazySettings, jwks: str, told: str) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": jwks}
    with pytest.raises(CommandError, match=told):
        run("--append")


def test_key_is_either_printed_or_saved() -> None:
    with pytest.raises(CommandError, match="not allowed with"):
        run("--append", "--save")


def test_command_runs_before_anything_is_set_up() -> None:
    with override_settings(MCP_OIDC={}, OAUTH2_PROVIDER={}):
        assert only_key(run("--alg", "ES256"))["kty"] == "EC"
