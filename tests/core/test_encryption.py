"""Keys derived from the project's secrets."""

from __future__ import annotations

import base64

import pytest
from cryptography.fernet import Fernet, InvalidToken
from django.conf import LazySettings

from mcp_oidc.core import encryption
from mcp_oidc.core.encryption import (
    Undecryptable,
    decrypt,
    encrypt,
    hash_secret,
    is_secret,
    mac_keys,
    present_prefix,
    reencrypt,
)


def test_value_comes_back_for_its_context_alone() -> None:
    payload = encrypt({"a": ["\u00e9", None, 1.5]}, context="IdP tokens 1")
    assert decrypt(payload, context="IdP tokens 1") == {"a": ["\u00e9", None, 1.5]}
    with pytest.raises(Undecryptable):
        decrypt(payload, context="IdP tokens 2")


@pytest.mark.requirement("encrypted-at-rest")
def test_ciphertext_shows_nothing_and_never_repeats() -> None:
    first, second = (encrypt("the refresh token", context="c") for _ in range(2))
    assert first != second
    assert "refresh" not in first


@pytest.mark.parametrize(
    "payload",
    ["", "garbage", "gAAAAA", "\u00e9", Fernet(Fernet.generate_key()).encrypt(b"[]").decode()],
    ids=["empty", "garbage", "short", "not ascii", "of another key"],
)
@pytest.mark.parametrize("prefix", ["", present_prefix()], ids=["bare", "as if of the present key"])
def test_what_was_not_encrypted_here_is_undecryptable(payload: str, prefix: str) -> None:
    with pytest.raises(Undecryptable):
        decrypt(prefix + payload, context="c")
    with pytest.raises(Undecryptable):
        reencrypt(prefix + payload)


def test_payload_names_its_key_and_tells_nothing_else_of_it(settings: LazySettings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["old"]
    payload = encrypt(1, context="c")
    assert payload.startswith(present_prefix())
    assert not any(payload[: len(present_prefix()) - 1] in key.key_id.hex() for key in mac_keys())
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "old", ["new"]
    assert not payload.startswith(present_prefix())
    assert reencrypt(payload).startswith(present_prefix())
    assert decrypt(reencrypt(payload), context="c") == 1


def test_keys_with_the_same_name_are_tried_one_after_the_other(
    settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    derive = encryption._derive
    monkeypatch.setattr(
        encryption, "_derive", lambda key, purpose: b"same" if purpose.endswith(b"id") else derive(key, purpose)
    )
    settings.SECRET_KEY = "one of two"
    payload = encrypt(1, context="c")
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "the other of two", ["one of two"]
    assert payload.startswith(present_prefix())
    assert decrypt(payload, context="c") == 1


@pytest.mark.requirement("key-rotation")
def test_secret_key_rotates_through_its_fallbacks(settings: LazySettings) -> None:
    settings.SECRET_KEY = "old"
    payload, (old,) = encrypt(1, context="c"), mac_keys()
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "new", ["old"]
    assert decrypt(payload, context="c") == 1
    assert mac_keys()[0] != old
    assert mac_keys()[1] == old
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(Undecryptable):
        decrypt(payload, context="c")


def test_encryption_keys_stand_in_the_place_of_secret_key(settings: LazySettings) -> None:
    payload = encrypt(1, context="c")
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ENCRYPTION_KEYS": ["a key of its own"]}
    with pytest.raises(Undecryptable):
        decrypt(payload, context="c")
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ENCRYPTION_KEYS": ["a key of its own", settings.SECRET_KEY]}
    assert decrypt(payload, context="c") == 1


def test_mac_key_is_neither_the_secret_nor_the_encryption_key(settings: LazySettings) -> None:
    (key,) = mac_keys()
    assert settings.SECRET_KEY.encode() not in key.secret
    assert len(key.secret) == 32
    with pytest.raises(InvalidToken):
        Fernet(base64.urlsafe_b64encode(key.secret)).decrypt(
            encrypt(1, context="c").removeprefix(present_prefix()).encode()
        )


@pytest.mark.parametrize("secret", ["", "wrong", "\u00e9", hash_secret("right")])
def test_secret_is_compared_with_its_hash(secret: str) -> None:
    assert is_secret("right", hash_secret("right"))
    assert not is_secret(secret, hash_secret("right"))
    assert not is_secret(secret, "")
