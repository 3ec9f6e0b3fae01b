"""Codes and refresh tokens: nothing that was not issued verifies, nothing issued fails, and keys rotate."""

from __future__ import annotations

import base64
import string
import uuid
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_oidc.protocol.opaque_tokens import Kind, MacKey, make_token, parse_token

ALPHABET = string.ascii_letters + string.digits + "-_"
MAX_GENERATION = 2**40 - 1

kinds = st.sampled_from(Kind)
generations = st.integers(0, MAX_GENERATION)
salts = st.text(string.hexdigits, min_size=32, max_size=32)
keys = st.binary(min_size=32, max_size=32).map(MacKey)

SALT = "0123456789abcdef0123456789abcdef"
KEY = MacKey(b"k" * 32)
CONNECTION = uuid.UUID("96dfe2e0-3cfb-40f5-93b1-3a43964c9a34")


def is_good(text: str, *, salt: str, keys: Sequence[MacKey]) -> bool:
    token = parse_token(text)
    return token is not None and token.is_authentic(salt=salt, keys=keys)


@pytest.mark.requirement("opaque-tokens-sound")
@given(kind=kinds, connection_id=st.uuids(), generation=generations, salt=salts, key=keys)
def test_issued_token_is_authentic_and_says_what_was_put_in(
    kind: Kind, connection_id: uuid.UUID, generation: int, salt: str, key: MacKey
) -> None:
    token = parse_token(make_token(kind, connection_id, generation, salt=salt, key=key))
    assert token is not None
    assert (token.kind, token.connection_id, token.generation) == (kind, connection_id, generation)
    assert token.is_authentic(salt=salt, keys=[key])


@given(kind=kinds, connection_id=st.uuids(), generation=generations, salt=salts, key=keys)
def test_same_row_and_key_make_the_same_token(
    kind: Kind, connection_id: uuid.UUID, generation: int, salt: str, key: MacKey
) -> None:
    first = make_token(kind, connection_id, generation, salt=salt, key=key)
    assert first == make_token(kind, connection_id, generation, salt=salt, key=MacKey(key.secret))


@pytest.mark.requirement("opaque-tokens-sound")
@given(kind=kinds, generation=generations, place=st.integers(0, 80), character=st.characters())
def test_token_with_any_other_character_is_refused(kind: Kind, generation: int, place: int, character: str) -> None:
    text = make_token(kind, CONNECTION, generation, salt=SALT, key=KEY)
    changed = text[:place] + character + text[place + 1 :]
    assert is_good(changed, salt=SALT, keys=[KEY]) is (changed == text)


@pytest.mark.parametrize("place", range(len("mcpr_"), 81))
def test_no_two_texts_mean_the_same_token(place: int) -> None:
    text = make_token(Kind.REFRESH, CONNECTION, 7, salt=SALT, key=KEY)
    accepted = [c for c in ALPHABET if is_good(text[:place] + c + text[place + 1 :], salt=SALT, keys=[KEY])]
    assert accepted == [text[place]]


@given(kind=kinds, generation=generations, text=st.text(max_size=90))
def test_text_that_was_not_issued_is_refused(kind: Kind, generation: int, text: str) -> None:
    issued = make_token(kind, CONNECTION, generation, salt=SALT, key=KEY)
    for candidate in (text, kind.value + text, issued + text, text + issued):
        assert is_good(candidate, salt=SALT, keys=[KEY]) is (candidate == issued)


@given(body=st.binary(min_size=57, max_size=57), kind=kinds)
def test_well_formed_token_with_a_made_up_mac_is_refused(body: bytes, kind: Kind) -> None:
    # With the right key id, which is no secret.
    text = kind.value + base64.urlsafe_b64encode(KEY.key_id + body[4:]).decode()
    assert parse_token(text) is not None
    assert not is_good(text, salt=SALT, keys=[KEY])


@pytest.mark.requirement("opaque-tokens-sound")
@given(kind=kinds, generation=generations, other=generations, salt=salts, connection_id=st.uuids())
def test_mac_of_one_token_proves_no_other(
    kind: Kind, generation: int, other: int, salt: str, connection_id: uuid.UUID
) -> None:
    token = parse_token(make_token(kind, CONNECTION, generation, salt=SALT, key=KEY))
    assert token is not None
    other_kind = Kind.CODE if kind is Kind.REFRESH else Kind.REFRESH
    assert not replace(token, kind=other_kind).is_authentic(salt=SALT, keys=[KEY])
    assert replace(token, generation=other).is_authentic(salt=SALT, keys=[KEY]) is (other == generation)
    assert token.is_authentic(salt=salt, keys=[KEY]) is (salt == SALT)
    moved = replace(token, connection_id=connection_id)
    assert moved.is_authentic(salt=SALT, keys=[KEY]) is (connection_id == CONNECTION)


@pytest.mark.requirement("opaque-tokens-sound")
@given(key=keys, before=st.lists(keys, max_size=3), after=st.lists(keys, max_size=3))
def test_keys_rotate(key: MacKey, before: list[MacKey], after: list[MacKey]) -> None:
    text = make_token(Kind.REFRESH, CONNECTION, 3, salt=SALT, key=key)
    assert is_good(text, salt=SALT, keys=[*before, key, *after])
    without = [other for other in (*before, *after) if other != key]
    assert not is_good(text, salt=SALT, keys=without)


def test_two_keys_with_one_fingerprint_are_both_tried() -> None:
    class Collision(MacKey):
        @property
        def key_id(self) -> bytes:
            return b"same"

    old, new = Collision(b"o" * 32), Collision(b"n" * 32)
    text = make_token(Kind.CODE, CONNECTION, 0, salt=SALT, key=old)
    assert is_good(text, salt=SALT, keys=[new, old])
    assert not is_good(text, salt=SALT, keys=[new])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "mcpr_",
        "mcpx_" + "A" * 76,
        "mcpr_" + "A" * 75,
        "mcpr_" + "A" * 77,
        "mcpr_" + "A" * 75 + "=",
        "mcpr_" + "A" * 75 + "\n",
        "mcpr_" + "A" * 76 + "\n",
        " mcpr_" + "A" * 76,
        "MCPR_" + "A" * 76,
        "mcpr_" + "\u0661" * 76,
    ],
)
def test_what_cannot_be_a_token_is_none(text: str) -> None:
    assert parse_token(text) is None


def test_neither_key_nor_mac_shows_in_a_log() -> None:
    token = parse_token(make_token(Kind.CODE, CONNECTION, 0, salt=SALT, key=KEY))
    assert token is not None
    assert "kkkk" not in repr(KEY)
    assert repr(token.mac) not in repr(token)
