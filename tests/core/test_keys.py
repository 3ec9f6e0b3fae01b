"""Signing keys: made once for all processes, read from wherever a project keeps them, and never a traceback."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.exceptions import ImproperlyConfigured
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core import keys
from mcp_oidc.core.kept_keys import KeyState, kept_keys
from mcp_oidc.core.key_rotation import publish_key, replace_keys, save_key
from mcp_oidc.core.keys import configured_keys, find_key, forget_keys, key_ring
from mcp_oidc.errors import TemporarilyUnavailable
from mcp_oidc.models import Event, SigningKey
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from tests.core.parallel import THREADS, in_parallel

ED25519 = generate_jwk("EdDSA")
P_256 = generate_jwk("ES256")


class Ring:
    """The keys as one process reads them: each has a cache of its own."""

    def __init__(self) -> None:
        self._cache = keys._Cache()

    def read(self, *, max_age: float = 0) -> keys.KeyRing:
        return self._cache.get(max_age=max_age)


def kids() -> list[str]:
    return [key.kid for key in key_ring(max_age=0).keys]


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("one-first-key")
def test_first_key_is_made_once_by_eight_threads() -> None:
    rings = in_parallel(key_ring)
    assert len(rings) == THREADS
    assert {ring.signing.kid for ring in rings} == {SigningKey.objects.get().kid}


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("one-first-key")
def test_first_key_that_another_process_has_just_made_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    # Both found the table empty.
    monkeypatch.setattr(keys, "generate_jwk", lambda algorithm: save_key(ED25519) or P_256)
    assert key_ring().signing.kid == ED25519.kid
    assert kids() == [ED25519.kid]


@pytest.mark.django_db
def test_verifying_makes_no_key() -> None:
    # It may stand in a transaction that a project rolls back, and this process would go on with a key that is not kept.
    assert find_key("unknown") is None
    assert not SigningKey.objects.exists()


@pytest.mark.django_db(transaction=True)
def test_threads_of_one_process_read_the_keys_together(signing_key: SigningJwk) -> None:
    forget_keys()
    rings = in_parallel(key_ring)
    assert {id(ring) for ring in rings} == {id(rings[0])}


@pytest.mark.django_db
@pytest.mark.requirement("encrypted-at-rest")
def test_private_key_is_encrypted_in_the_database() -> None:
    key = key_ring().signing
    row = SigningKey.objects.values().get()
    private = key.private
    for name in ("d", "p", "q", "dp", "dq", "qi"):
        assert private[name] not in json.dumps([row, list(Event.objects.values())], default=str)
    assert row["public_jwk"] == key.public


@pytest.mark.django_db
def test_keys_are_read_once_in_ten_seconds(signing_key: SigningJwk, monkeypatch: pytest.MonkeyPatch) -> None:
    now = key_ring().read_at
    monkeypatch.setattr(keys.time, "monotonic", lambda: now)
    parsed = key_ring().signing.key
    for elapsed, queries in ((9.9, 0), (0.1, 1), (9.9, 0)):
        now += elapsed
        with CaptureQueriesContext(connection) as captured:
            for _ in range(5):
                assert key_ring().signing.kid == signing_key.kid
        assert len(captured) == queries
    # Parsing an RSA key takes longer than signing with it.
    assert key_ring().signing.key is parsed


@pytest.mark.django_db
def test_key_of_another_process_is_found_at_a_bounded_rate(
    signing_key: SigningJwk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = key_ring().read_at
    monkeypatch.setattr(keys.time, "monotonic", lambda: now)
    monkeypatch.setattr("mcp_oidc.core.key_rotation.forget_keys", lambda: None)
    assert publish_key(P_256, delay=3600)
    with CaptureQueriesContext(connection) as queries:
        assert [find_key("made up") for _ in range(20)] == [None] * 20
    assert len(queries) == 0
    now += keys.UNKNOWN_KEY_COOLDOWN
    found = find_key(P_256.kid)
    assert found is not None
    assert found.public == P_256.public
    assert find_key(signing_key.kid) is not None


@pytest.mark.django_db
@pytest.mark.requirement("compromised-key")
def test_key_that_another_process_dropped_is_good_for_ten_seconds_at_most_and_not_once_the_new_one_is_met(
    signing_key: SigningJwk, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = key_ring().read_at
    monkeypatch.setattr(keys.time, "monotonic", lambda: now)
    monkeypatch.setattr("mcp_oidc.core.key_rotation.forget_keys", lambda: None)
    replace_keys(P_256)
    now += 9.9
    assert find_key(signing_key.kid) is not None
    assert find_key(P_256.kid) is not None
    assert find_key(signing_key.kid) is None
    replace_keys(ED25519)
    now += 10
    assert find_key(P_256.kid) is None


@pytest.mark.django_db
@pytest.mark.requirement("outage-503")
def test_keys_outlast_an_outage_of_the_database_and_are_read_again_after_it(
    signing_key: SigningJwk, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ring = Ring()
    ring.read()
    monkeypatch.setattr(keys, "kept_keys", _raise_operational_error)
    assert ring.read().signing.kid == signing_key.kid
    assert "the database does not answer" in caplog.text
    monkeypatch.undo()
    save_key(ED25519)
    assert ring.read(max_age=60).signing.kid == signing_key.kid
    assert ring.read().signing.kid == ED25519.kid


@pytest.mark.django_db
def test_process_that_has_read_no_keys_tells_of_the_outage(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keys, "kept_keys", _raise_operational_error)
    with pytest.raises(OperationalError):
        Ring().read()


def _raise_operational_error() -> None:
    raise OperationalError("no route to host")


@pytest.mark.django_db
@pytest.mark.requirement("key-rotation")
def test_secret_key_rotated_through_fallbacks_keeps_the_signing_key(settings: LazySettings) -> None:
    kid = key_ring().signing.kid
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    forget_keys()
    assert key_ring().signing.kid == kid


@pytest.mark.django_db
@pytest.mark.requirement("unusable-keys")
def test_lost_secret_key_is_logged_with_a_way_out_that_works(
    signing_key: SigningJwk, settings: LazySettings, caplog: pytest.LogCaptureFixture
) -> None:
    settings.SECRET_KEY = "another"
    forget_keys()
    for _ in range(3):
        with pytest.raises(TemporarilyUnavailable):
            _ = key_ring().signing
    (record,) = [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert "SECRET_KEY_FALLBACKS" in record.getMessage()
    assert "mcp_oidc_rotate_keys --now" in record.getMessage()
    # What was signed before it was lost, still verifies.
    assert find_key(signing_key.kid) is not None
    save_key(ED25519)
    assert key_ring().signing.kid == ED25519.kid
    assert find_key(signing_key.kid) is not None


@pytest.mark.django_db
def test_first_key_signs_where_the_clock_of_the_database_was_put_back(signing_key: SigningJwk) -> None:
    SigningKey.objects.update(activates_at="2999-01-01T00:00:00Z")
    publish_key(P_256, delay=3600)
    assert [key.state for key in kept_keys()] == [KeyState.PUBLISHED]
    assert key_ring(max_age=0).signing.kid == signing_key.kid


def sources(tmp_path: Path) -> dict[str, Any]:
    text = json.dumps({"keys": [P_256.private, ED25519.private]})
    path = tmp_path / "jwks.json"
    path.write_text(text)
    return {"text": text, "dict": json.loads(text), "path": path, "path as text": str(path)}


@pytest.mark.parametrize("kind", ["text", "dict", "path", "path as text"])
def test_configured_set_is_used_as_it_is_and_no_database(settings: LazySettings, tmp_path: Path, kind: str) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": sources(tmp_path)[kind]}
    assert [key.kid for key in key_ring().keys] == [P_256.kid, ED25519.kid]
    assert find_key(ED25519.kid) is not None
    assert find_key("unknown") is None


@pytest.mark.parametrize("kind", ["text", "path as text"])
def test_set_is_read_from_the_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, kind: str) -> None:
    monkeypatch.setenv("JWKS", sources(tmp_path)[kind])
    assert key_ring().signing.kid == P_256.kid


def test_setting_wins_over_the_environment(settings: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWKS", "no such file")
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": ED25519.private}
    assert key_ring().signing.kid == ED25519.kid


@pytest.mark.parametrize(
    "value",
    [
        "no such file",
        "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASC\n-----END PRIVATE KEY-----",
        '[{"kty": "RSA", "d": "c2VjcmV0"}]',
        '{"keys": [{"kty": "oct", "k": "c2VjcmV0"}]}',
        '{"keys": [',
        b"{}",
        {"keys": []},
        {"keys": [{**ED25519.private, "x": b"c2VjcmV0"}]},
        {("keys",): []},
        "\0",
        "x" * 10_000,
    ],
    ids=lambda value: repr(value)[:30],
)
@pytest.mark.requirement("unusable-keys")
def test_unusable_setting_is_logged_without_what_may_be_a_key(
    settings: LazySettings, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "JWKS": value}
    with pytest.raises(TemporarilyUnavailable) as refusal:
        key_ring()
    assert "MCP_OIDC['JWKS']" in caplog.text
    for secret in ("MIIEvQ", "c2VjcmV0", "xxxxxx"):
        assert secret not in str(refusal.value) + caplog.text


def test_set_that_json_cannot_write_is_refused_like_any_other() -> None:
    endless: dict[str, Any] = {}
    endless["keys"] = [endless]
    with pytest.raises(ImproperlyConfigured, match="generate_jwks"):
        configured_keys(endless)
