"""Authorization codes and refresh tokens that are computed from a Connection and never stored.

A token is a prefix and, in base64url, the key's id (4 bytes), the connection's id (16), its generation (5) and a MAC
(32). The MAC key comes from the server's secrets; a random salt of the row is joined to what it covers. So a dump of
the database forges nothing, nor does the server's secret alone, and the successor of a refresh token is computed and
not drawn: two processes that race give the same answer.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum

KEY_ID_BYTES = 4
GENERATION_BYTES = 5
_BODY_BYTES = KEY_ID_BYTES + 16 + GENERATION_BYTES
# 57 bytes are 76 characters without a bit to spare, so no two texts mean the same token.
_ENCODED = re.compile(r"[A-Za-z0-9_-]{76}")


class Kind(StrEnum):
    """What a token is for; the value is its prefix, which secret scanners can look for."""

    CODE = "mcpc_"
    REFRESH = "mcpr_"


@dataclass(frozen=True)
class MacKey:
    """A key for the MAC, and its fingerprint, so that adding a key shifts nothing."""

    secret: bytes = field(repr=False)

    @property
    def key_id(self) -> bytes:
        return hashlib.sha256(b"mcp_oidc mac key id" + self.secret).digest()[:KEY_ID_BYTES]


@dataclass(frozen=True)
class OpaqueToken:
    """A token taken apart. Nothing in it is proven before `is_authentic` says so."""

    kind: Kind
    key_id: bytes
    connection_id: uuid.UUID
    generation: int
    mac: bytes = field(repr=False)

    def is_authentic(self, *, salt: str, keys: Sequence[MacKey]) -> bool:
        """Whether this server issued the token, for the row that has `salt`. In constant time."""
        return any(
            hmac.compare_digest(self.mac, _mac(key, self.kind, self._body(), salt))
            for key in keys
            if hmac.compare_digest(key.key_id, self.key_id)
        )

    def _body(self) -> bytes:
        return _body(self.key_id, self.connection_id, self.generation)


def make_token(kind: Kind, connection_id: uuid.UUID, generation: int, *, salt: str, key: MacKey) -> str:
    """The token of this kind and generation: always the same for the same row and key."""
    body = _body(key.key_id, connection_id, generation)
    return kind.value + base64.urlsafe_b64encode(body + _mac(key, kind, body, salt)).decode()


def parse_token(text: str) -> OpaqueToken | None:
    """Take a token apart, or None for what cannot be one."""
    kind = next((kind for kind in Kind if text.startswith(kind.value)), None)
    if kind is None or not _ENCODED.fullmatch(text, len(kind.value)):
        return None
    raw = base64.urlsafe_b64decode(text[len(kind.value) :])
    return OpaqueToken(
        kind=kind,
        key_id=raw[:KEY_ID_BYTES],
        connection_id=uuid.UUID(bytes=raw[KEY_ID_BYTES : KEY_ID_BYTES + 16]),
        generation=int.from_bytes(raw[KEY_ID_BYTES + 16 : _BODY_BYTES]),
        mac=raw[_BODY_BYTES:],
    )


def derive_id(key: MacKey, *parts: str) -> uuid.UUID:
    """An id that looks random to everybody else, and is the same for the same parts."""
    message = json.dumps(["connection id", *parts]).encode()
    return uuid.UUID(bytes=hmac.digest(key.secret, message, "sha256")[:16], version=4)


def _body(key_id: bytes, connection_id: uuid.UUID, generation: int) -> bytes:
    return key_id + connection_id.bytes + generation.to_bytes(GENERATION_BYTES)


def _mac(key: MacKey, kind: Kind, body: bytes, salt: str) -> bytes:
    # Prefix and body have fixed lengths, so the salt needs no separator.
    return hmac.digest(key.secret, kind.value.encode() + body + salt.encode(), "sha256")
