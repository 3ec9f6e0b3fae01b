"""Scopes (RFC 6749 3.3): a set of words in one string, in the order in which they were asked for."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

# RFC 6749 3.3: %x21 / %x23-5B / %x5D-7E
_TOKEN = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")

# OpenID Connect Core 5.4, as far as we answer it.
OPENID_SCOPES = ("openid", "profile", "email")


def parse_scope(text: str) -> tuple[str, ...]:
    """The words of `text`, each once. A word that RFC 6749 does not allow is dropped like any unknown scope."""
    return tuple(dict.fromkeys(word for word in text.split(" ") if _TOKEN.fullmatch(word)))


def format_scope(scopes: Iterable[str]) -> str:
    """The `scope` parameter for `scopes`."""
    return " ".join(scopes)


def is_scope(word: str) -> bool:
    """Whether `word` is one scope."""
    return bool(_TOKEN.fullmatch(word))


def granted_scopes(asked: Iterable[str], *, known: Iterable[str], required: Iterable[str]) -> tuple[str, ...]:
    """What a request for `asked` is granted: the known ones among them, and what the resource needs for any call."""
    known = set(known)
    return tuple(dict.fromkeys([*(word for word in asked if word in known), *required]))


def close_implications(direct: Mapping[str, Iterable[str]]) -> dict[str, tuple[str, ...]]:
    """Each scope to all that it implies, in one step or several.

    Raises `ValueError`, whose text is the way round, for scopes that imply each other.
    """
    return {scope: tuple(dict.fromkeys(_implied_by(scope, direct, ()))) for scope in direct}


def with_implied(scopes: Iterable[str], implied: Mapping[str, Iterable[str]]) -> tuple[str, ...]:
    """`scopes`, each followed by what it implies."""
    return tuple(dict.fromkeys(word for scope in scopes for word in (scope, *implied.get(scope, ()))))


def _implied_by(scope: str, direct: Mapping[str, Iterable[str]], path: tuple[str, ...]) -> list[str]:
    if scope in path:
        raise ValueError(" -> ".join([*path, scope]))
    path = (*path, scope)
    return [word for narrower in direct.get(scope, ()) for word in (narrower, *_implied_by(narrower, direct, path))]
