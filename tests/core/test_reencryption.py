"""`manage.py mcp_oidc_reencrypt`: after a change of secrets the first one encrypts everything, and nothing is lost."""

from __future__ import annotations

from io import StringIO
from typing import Any

import pytest
from django.apps import apps
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core import reencryption
from mcp_oidc.core.encryption import encrypt
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.key_rotation import save_key
from mcp_oidc.core.keys import forget_keys, key_ring
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens, read_tokens, replace_tokens, take_lease
from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.models import Identity, IdpTokenSet, LoginAttempt
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from tests.core.parallel import in_parallel

pytestmark = pytest.mark.django_db

OLD, NEW = "the old secret of the project", "the new secret of the project"


@pytest.fixture(autouse=True)
def _old_secret(settings: LazySettings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, []
    forget_keys()


@pytest.fixture
def identities(_old_secret: None, signing_key: SigningJwk) -> list[Identity]:
    """Five people with tokens of the identity provider. They and the signing key are encrypted with the old secret."""
    identities = [local_identity(get_user_model().objects.create_user(f"user-{number}")) for number in range(5)]
    for identity in identities:
        keep_tokens(identity, tokens_of(identity))
    return identities


def tokens_of(identity: Identity, name: str = "first") -> IdpTokens:
    return IdpTokens(access_token=f"{name} access token of {identity.pk}", refresh_token=f"{name} refresh token")


def move_to_the_new_secret(settings: LazySettings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
    forget_keys()


def forget_the_old_secret(settings: LazySettings) -> None:
    settings.SECRET_KEY_FALLBACKS = []
    forget_keys()


def run(**options: Any) -> str:
    output = StringIO()
    call_command("mcp_oidc_reencrypt", stdout=output, **options)
    return output.getvalue()


@pytest.mark.requirement("reencryption")
@pytest.mark.requirement("key-rotation")
@pytest.mark.parametrize("batch_size", [1, 2, 100])
def test_everything_is_readable_without_the_old_secret(
    identities: list[Identity], signing_key: SigningJwk, settings: LazySettings, batch_size: int
) -> None:
    move_to_the_new_secret(settings)
    output = run(batch_size=batch_size)
    assert "signing keys: 1 re-encrypted, 0 were current." in output
    assert "IdP token sets: 5 re-encrypted, 0 were current." in output
    forget_the_old_secret(settings)
    assert key_ring().signing.private == signing_key.private
    for identity in identities:
        assert read_tokens(identity.pk).tokens == tokens_of(identity)


@pytest.mark.requirement("reencryption")
def test_it_was_not_readable_before(identities: list[Identity], settings: LazySettings) -> None:
    move_to_the_new_secret(settings)
    forget_the_old_secret(settings)
    with pytest.raises(UpstreamLoginRequired):
        read_tokens(identities[0].pk)


@pytest.mark.requirement("reencryption")
def test_rows_that_are_current_are_neither_read_nor_written(identities: list[Identity], settings: LazySettings) -> None:
    move_to_the_new_secret(settings)
    run()
    keep_tokens(identities[0], tokens_of(identities[0], "second"))
    with CaptureQueriesContext(connection) as queries:
        assert "IdP token sets: 0 re-encrypted, 5 were current." in run()
    assert not [query for query in queries if query["sql"].startswith("UPDATE")]
    # For each kind: what is current, the first batch, which is empty, and what is left.
    assert len(queries) == 9


@pytest.mark.requirement("reencryption")
def test_tokens_that_are_refreshed_meanwhile_are_not_overwritten(
    identities: list[Identity], settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshed, waiting = identities[1], identities[2]
    move_to_the_new_secret(settings)
    being_refreshed = read_tokens(waiting.pk)
    assert take_lease(being_refreshed)
    write = reencryption._write

    def refresh_first(rows: Any, guard: str, batch: list[Any]) -> int:
        if guard == "version":
            replace_tokens(read_tokens(refreshed.pk), tokens_of(refreshed, "second"))
        return write(rows, guard, batch)

    monkeypatch.setattr(reencryption, "_write", refresh_first)
    assert "IdP token sets: 4 re-encrypted" in run()
    forget_the_old_secret(settings)
    stored = read_tokens(refreshed.pk)
    assert (stored.tokens, stored.version) == (tokens_of(refreshed, "second"), 2)
    # A refresh under way finds the version that it has read, and still holds the lease.
    assert read_tokens(waiting.pk).is_being_refreshed
    replace_tokens(being_refreshed, tokens_of(waiting, "second"))
    assert read_tokens(waiting.pk).tokens == tokens_of(waiting, "second")


@pytest.mark.requirement("reencryption")
def test_what_a_process_writes_with_the_old_secret_meanwhile_is_told(
    identities: list[Identity], settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = reencryption._write

    def refresh_elsewhere(rows: Any, guard: str, batch: list[Any]) -> int:
        if guard == "version":
            settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = OLD, [NEW]
            replace_tokens(read_tokens(identities[1].pk), tokens_of(identities[1], "second"))
            settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = NEW, [OLD]
        return write(rows, guard, batch)

    move_to_the_new_secret(settings)
    monkeypatch.setattr(reencryption, "_write", refresh_elsewhere)
    with pytest.raises(CommandError, match="1 were written with an older key meanwhile"):
        run()
    monkeypatch.undo()
    assert "IdP token sets: 1 re-encrypted, 4 were current." in run()


@pytest.mark.requirement("reencryption")
def test_what_cannot_be_decrypted_is_counted_and_stops_nothing(
    identities: list[Identity], settings: LazySettings
) -> None:
    settings.SECRET_KEY = "a secret that was lost"
    for identity in identities[:2]:
        keep_tokens(identity, tokens_of(identity))
    save_key(generate_jwk("ES256"))
    move_to_the_new_secret(settings)
    output = StringIO()
    with pytest.raises(CommandError) as refusal:
        call_command("mcp_oidc_reencrypt", batch_size=1, stdout=output)
    assert refusal.value.returncode == 1
    assert "signing keys: 1 cannot be decrypted" in str(refusal.value)
    assert "IdP token sets: 2 cannot be decrypted" in str(refusal.value)
    assert "SECRET_KEY_FALLBACKS" in str(refusal.value)
    assert "meanwhile" not in str(refusal.value)
    assert "IdP token sets: 3 re-encrypted, 0 were current." in output.getvalue()
    settings.SECRET_KEY_FALLBACKS = [OLD, "a secret that was lost"]
    assert "IdP token sets: 2 re-encrypted, 3 were current." in run()


@pytest.mark.requirement("reencryption")
def test_payload_that_was_moved_to_another_row_stays_useless(
    identities: list[Identity], settings: LazySettings
) -> None:
    mine, other = identities[:2]
    stolen = IdpTokenSet.objects.get(identity=other).payload
    IdpTokenSet.objects.filter(identity=mine).update(payload=stolen)
    move_to_the_new_secret(settings)
    run()
    with pytest.raises(UpstreamLoginRequired):
        read_tokens(mine.pk)


@pytest.mark.requirement("reencryption")
@pytest.mark.django_db(transaction=True)
def test_run_that_was_killed_half_way_is_finished_by_the_next(
    identities: list[Identity], settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    move_to_the_new_secret(settings)
    write, batches = reencryption._write, iter(range(3))

    def killed_in_the_fourth_batch(rows: Any, guard: str, batch: list[Any]) -> int:
        if next(batches, None) is None:
            raise KeyboardInterrupt
        return write(rows, guard, batch)

    monkeypatch.setattr(reencryption, "_write", killed_in_the_fourth_batch)
    with pytest.raises(KeyboardInterrupt):
        run(batch_size=1)
    monkeypatch.undo()
    output = run()
    assert "signing keys: 0 re-encrypted, 1 were current." in output
    assert "IdP token sets: 3 re-encrypted, 2 were current." in output


@pytest.mark.requirement("reencryption")
@pytest.mark.django_db(transaction=True)
def test_several_may_run_at_the_same_time(identities: list[Identity], settings: LazySettings) -> None:
    move_to_the_new_secret(settings)
    outcomes = in_parallel(lambda: list(reencryption.reencrypt_rows(batch_size=2)))
    assert {(kind.unreadable, kind.outdated) for kinds in outcomes for kind in kinds} == {(0, 0)}
    forget_the_old_secret(settings)
    assert [read_tokens(identity.pk).tokens for identity in identities] == [*map(tokens_of, identities)]


def test_keys_for_encryption_alone_take_over_from_the_secret_key(
    identities: list[Identity], settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ENCRYPTION_KEYS": ["a key of its own", OLD]}
    run()
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ENCRYPTION_KEYS": ["a key of its own"]}
    forget_keys()
    assert key_ring().signing.is_private
    assert read_tokens(identities[0].pk).tokens == tokens_of(identities[0])


def test_nothing_that_is_encrypted_is_forgotten() -> None:
    encrypted = {
        model
        for model in apps.get_app_config("mcp_oidc").get_models()
        if any(field.name == "payload" for field in model._meta.get_fields())
    }
    # Deleted ten minutes after it was made.
    assert encrypted - {LoginAttempt} == {model for model, _ in reencryption._ENCRYPTED}


def test_output_shows_nothing_of_what_is_encrypted(identities: list[Identity], settings: LazySettings) -> None:
    move_to_the_new_secret(settings)
    output = run()
    assert "token of" not in output
    assert encrypt(1, context="c")[:8] not in output


@pytest.mark.parametrize("size", [0, -1])
def test_batch_of_nothing_is_refused(size: int) -> None:
    with pytest.raises(CommandError, match="--batch-size"):
        run(batch_size=size)
