"""Keys derived from the project's secrets: to encrypt what must be replayed, and to authenticate what is not stored."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import secrets
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from cryptography.fernet import Fernet, InvalidToken
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from mcp_oidc.conf import app_settings
from mcp_oidc.protocol.opaque_tokens import MacKey


class Undecryptable(Exception):
    """No key of ENCRYPTION_KEYS opens it, or it was moved to a row that it was not written for."""


def encrypt(value: Any, *, context: str) -> str:
    """`value` (anything JSON holds) encrypted with the first key, to be opened for the same `context` only."""
    return _seal(json.dumps([context, value]).encode())


def decrypt(payload: str, *, context: str) -> Any:
    """What `encrypt` was given, by whichever key. Raises `Undecryptable`."""
    written_for, value = json.loads(_open(payload))
    # Somebody who writes to the database must not swap one user's tokens for another's.
    if written_for != context:
        raise Undecryptable
    return value


def reencrypt(payload: str) -> str:
    """The same, encrypted with the first key. Raises `Undecryptable`."""
    return _seal(_open(payload))


def present_prefix() -> str:
    """What everything begins with that was encrypted with the first key."""
    return _encryption_keys()[0].prefix


def mac_keys() -> tuple[MacKey, ...]:
    """The keys of codes and refresh tokens: the first signs, all verify. Not the encryption keys themselves."""
    return _mac_keys(app_settings.ENCRYPTION_KEYS)


def new_secret() -> str:
    """256 random bits, URL-safe."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """How a secret of 256 random bits is kept. A slow hash would add nothing but load."""
    return hashlib.sha256(secret.encode()).hexdigest()


def is_secret(secret: str, hashed: str) -> bool:
    """Whether `secret` is the one that was hashed, in constant time."""
    return bool(hashed) and hmac.compare_digest(hash_secret(secret), hashed)


@dataclass(frozen=True)
class _EncryptionKey:
    """`prefix` tells which key a payload needs, so that those of an old one can be looked for."""

    prefix: str
    fernet: Fernet


def _seal(plain: bytes) -> str:
    key = _encryption_keys()[0]
    return key.prefix + key.fernet.encrypt(plain).decode()


def _open(payload: str) -> bytes:
    for key in _encryption_keys():
        if payload.startswith(key.prefix):
            try:
                return key.fernet.decrypt(payload.removeprefix(key.prefix).encode())
            except InvalidToken:
                # Four bytes may be those of another key.
                continue
    raise Undecryptable


def _encryption_keys() -> tuple[_EncryptionKey, ...]:
    return _derived_encryption_keys(app_settings.ENCRYPTION_KEYS)


@lru_cache(maxsize=4)
def _derived_encryption_keys(keys: tuple[str, ...]) -> tuple[_EncryptionKey, ...]:
    return tuple(_encryption_key(key) for key in keys)


def _encryption_key(key: str) -> _EncryptionKey:
    fernet = Fernet(base64.urlsafe_b64encode(_derive(key, b"encryption")))
    return _EncryptionKey(f"{_derive(key, b'encryption key id')[:4].hex()}.", fernet)


@lru_cache(maxsize=4)
def _mac_keys(keys: tuple[str, ...]) -> tuple[MacKey, ...]:
    return tuple(MacKey(_derive(key, b"opaque tokens")) for key in keys)


def _derive(secret: str, purpose: bytes) -> bytes:
    return HKDF(SHA256(), length=32, salt=None, info=b"mcp_oidc v1 " + purpose).derive(secret.encode())
