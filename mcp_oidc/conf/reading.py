"""How values of settings are read: each in its type, or refused in words that name it and the way out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from django.core.exceptions import ImproperlyConfigured

from mcp_oidc.protocol.scopes import is_scope
from mcp_oidc.protocol.uris import check_web_uri

_COLLECTIONS = (list, tuple, set, frozenset)


def wrong(key: str, value: object, wanted: str) -> ImproperlyConfigured:
    """The error for a value. A type in its place is named instead of it, for what may be secret."""
    shown = f"of type {value.__name__}" if isinstance(value, type) else repr(value)
    path = key if "[" in key else f"[{key!r}]"
    return ImproperlyConfigured(f"MCP_OIDC{path} is {shown}, but must be {wanted}.")


def inside(outer: str, key: str) -> str:
    """The key of a dict that is itself a setting, as `wrong` takes it."""
    return f"[{outer!r}][{key!r}]"


def read_text(values: Mapping[str, Any], key: str, default: str) -> str:
    value = values.get(key, default) or default
    if not isinstance(value, str):
        raise wrong(key, value, "a string")
    return value


def read_texts(values: Mapping[str, Any], key: str, default: tuple[str, ...], *, path: str = "") -> tuple[str, ...]:
    value = values.get(key, default)
    if not isinstance(value, _COLLECTIONS) or not all(isinstance(text, str) for text in value):
        raise wrong(path or key, type(value), "a list of strings")
    return tuple(value)


def read_scopes(key: str, value: object) -> tuple[str, ...]:
    scopes = value.split() if isinstance(value, str) else value
    if not isinstance(scopes, _COLLECTIONS) or not all(isinstance(word, str) and is_scope(word) for word in scopes):
        raise wrong(key, value, "scopes without spaces and quotes, as a list")
    return tuple(scopes)


def read_scope_table(key: str, value: object) -> dict[str, tuple[str, ...]]:
    """Something to the scopes that it stands for."""
    if not isinstance(value, Mapping) or not all(isinstance(name, str) and name for name in value):
        raise wrong(key, value, "a dict of names to lists of scopes")
    return {name: read_scopes(f"{key}[{name!r}]", scopes) for name, scopes in value.items()}


def read_number(
    values: Mapping[str, Any], key: str, default: int, *, least: int = 1, unit: str = "seconds", path: str = ""
) -> int:
    value = values.get(key, default)
    if type(value) is not int or value < least:
        raise wrong(path or key, value, f"a whole number of {unit}, {least} or more")
    return value


def read_choice(values: Mapping[str, Any], key: str, choices: tuple[str, ...], *, path: str = "") -> str:
    """One of `choices`, the first of which is the default."""
    value = values.get(key, choices[0])
    if value not in choices:
        raise wrong(path or key, value, f"one of {', '.join(choices)}")
    return str(value)


def read_flag(values: Mapping[str, Any], key: str, *, default: bool, path: str = "") -> bool:
    value = values.get(key, default)
    if not isinstance(value, bool):
        raise wrong(path or key, value, "True or False")
    return value


@lru_cache(maxsize=64)
def is_url(text: str) -> bool:
    """Whether `text` is an http(s) URL without a fragment."""
    try:
        check_web_uri(text)
    except ValueError:
        return False
    return True
