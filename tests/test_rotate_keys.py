"""`manage.py mcp_oidc_rotate_keys`: what it does, what it says, and what it refuses."""

from __future__ import annotations

import json
import re
from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command

from mcp_oidc.core.kept_keys import EXPIRED_KEY_LIFETIME, KeyState, kept_keys
from mcp_oidc.core.key_rotation import LEAD, publish_key
from mcp_oidc.core.keys import forget_keys, key_ring
from mcp_oidc.models import Event, SigningKey
from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS, SigningJwk, generate_jwk
from tests.core.passing import let_pass

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("mcp_oidc_rotate_keys", *arguments, stdout=output)
    return output.getvalue()


def wait(seconds: float) -> None:
    let_pass(seconds, *SigningKey.objects.all())
    forget_keys()


def states() -> list[KeyState]:
    return [each.state for each in kept_keys()]


@pytest.mark.requirement("key-published-first")
def test_new_key_is_published_and_the_old_one_goes_on_signing(signing_key: SigningJwk) -> None:
    output = run()
    new = kept_keys()[-1]
    assert states() == [KeyState.SIGNING, KeyState.PUBLISHED]
    assert new.row.kid in output
    assert re.search(r"is published, and signs from \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC on\.", output)
    assert LEAD - 5 < (new.row.activates_at - new.now).total_seconds() <= LEAD


@pytest.mark.requirement("key-published-first")
def test_nothing_is_done_while_a_key_waits_and_that_is_no_error(signing_key: SigningJwk) -> None:
    run()
    before = list(SigningKey.objects.values()), Event.objects.count()
    output = run()
    assert output.startswith("Nothing to do.")
    assert kept_keys()[-1].row.kid in output
    assert (list(SigningKey.objects.values()), Event.objects.count()) == before


def test_run_weekly_it_keeps_two_keys(signing_key: SigningJwk) -> None:
    for _ in range(4):
        run()
        wait(7 * 24 * 3600)
    assert states() == [KeyState.EXPIRED, KeyState.SIGNING]
    assert "Deleted 1 expired keys." in run()


@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_new_key_has_the_algorithm_of_the_one_that_signs(algorithm: str) -> None:
    run("--alg", algorithm)
    assert key_ring().signing.algorithm == algorithm
    run()
    assert kept_keys()[-1].row.algorithm == algorithm


def test_lead_is_as_long_as_asked_for(signing_key: SigningJwk) -> None:
    run("--lead", "86400")
    wait(86395)
    assert key_ring().signing.kid == signing_key.kid
    wait(5)
    assert key_ring().signing.kid != signing_key.kid


def test_first_key_of_all_signs_at_once() -> None:
    assert "signs from now on" in run()
    assert states() == [KeyState.SIGNING]
    assert key_ring().signing.algorithm == "RS256"


def test_now_means_at_once_even_while_another_key_waits(signing_key: SigningJwk) -> None:
    publish_key(generate_jwk("ES256"))
    output = run("--now")
    assert key_ring().signing.kid in output
    assert key_ring().signing.kid != signing_key.kid
    assert states() == [KeyState.VERIFYING, KeyState.SIGNING]


@pytest.mark.requirement("compromised-key")
def test_compromised_keys_are_named_with_what_is_left_to_do(signing_key: SigningJwk) -> None:
    publish_key(generate_jwk("ES256"))
    dropped = [each.row.kid for each in kept_keys()]
    output = run("--compromised")
    assert states() == [KeyState.SIGNING]
    assert key_ring().signing.kid in output
    assert ", ".join(dropped) in output
    assert "within 10 seconds; restarted, at once" in output


@pytest.mark.requirement("unusable-keys")
def test_key_that_lost_its_secret_is_replaced_at_once(signing_key: SigningJwk, settings: LazySettings) -> None:
    settings.SECRET_KEY = "another"
    forget_keys()
    assert "signs from now on" in run()
    assert key_ring().signing.kid != signing_key.kid


@pytest.mark.parametrize("arguments", [(), ("--now",), ("--compromised",)])
def test_keys_of_the_environment_are_refused_with_the_way_out(settings: LazySettings, arguments: tuple[str]) -> None:
    jwks = {"keys": [generate_jwk("ES256").private]}
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": jwks}
    with pytest.raises(CommandError) as refusal:
        run(*arguments)
    for word in ("JWKS", "generate_jwks --append", "move the new key to the front", "ACCESS_TOKEN_LIFETIME"):
        assert word in str(refusal.value)
    assert not SigningKey.objects.exists()
    assert jwks["keys"][0]["d"] not in str(refusal.value)


@pytest.mark.requirement("unusable-keys")
def test_environment_that_cannot_be_used_is_refused_in_words(settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": "/no/such/file"}
    with pytest.raises(CommandError, match="MCP_OIDC\\['JWKS'\\] must be"):
        run()


@pytest.mark.parametrize(
    "arguments",
    [("--alg", "HS256"), ("--lead", "-1"), ("--lead", "soon"), ("--now", "--compromised"), ("--now", "--lead", "5")],
)
def test_arguments_that_make_no_sense_are_refused(signing_key: SigningJwk, arguments: tuple[str, ...]) -> None:
    with pytest.raises(CommandError):
        run(*arguments)
    assert states() == [KeyState.SIGNING]


def test_nothing_of_a_key_is_printed_or_told(signing_key: SigningJwk, caplog: pytest.LogCaptureFixture) -> None:
    output = run() + run("--now") + run("--compromised")
    told = output + caplog.text + json.dumps(list(Event.objects.values()), default=str)
    secret: dict[str, Any] = {**signing_key.private, **key_ring().signing.private}
    assert [name for name in ("d", "p", "q") if secret[name] in told] == []


def test_expired_keys_go_with_the_cleanup_too(signing_key: SigningJwk) -> None:
    run("--now")
    wait(3600 + 70 + EXPIRED_KEY_LIFETIME - 5)
    output = StringIO()
    call_command("mcp_oidc_cleanup", stdout=output)
    assert "Deleted 0 expired signing keys." in output.getvalue()
    wait(5)
    call_command("mcp_oidc_cleanup", stdout=output)
    assert "Deleted 1 expired signing keys." in output.getvalue()
    assert states() == [KeyState.SIGNING]
