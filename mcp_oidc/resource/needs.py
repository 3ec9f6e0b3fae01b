"""What entry points take as `scopes`: those that every call needs, or a table of them by method."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from django.core.exceptions import ImproperlyConfigured

from mcp_oidc.protocol.mcp_requests import require_methods
from mcp_oidc.protocol.scopes import is_scope

# `["notes:write"]`, `"notes:write"`, or by HTTP or JSON-RPC method: `{"POST": ["notes:write"]}`.
Scopes: TypeAlias = str | Collection[str] | Mapping[str, str | Collection[str]]


@dataclass(frozen=True)
class Needs:
    """Scopes that are needed besides the resource's own: for any call, and by HTTP or JSON-RPC method."""

    always: tuple[str, ...] = ()
    by_method: tuple[tuple[str, tuple[str, ...]], ...] = ()

    def __add__(self, other: Needs) -> Needs:
        return Needs(self.always + other.always, self.by_method + other.by_method)


NOTHING = Needs()


def read_needs(scopes: Scopes) -> Needs:
    """`scopes` as an entry point was given them. Raises `ImproperlyConfigured`."""
    if not scopes:
        return NOTHING
    if isinstance(scopes, Mapping):
        try:
            require_methods(scopes)
        except ValueError as error:
            raise ImproperlyConfigured(str(error)) from None
        return Needs(by_method=tuple((method, _words(needed)) for method, needed in scopes.items()))
    return Needs(always=_words(scopes))


def declared_needs(view: Any) -> Needs:
    """What `require_scopes` says of a view function, or of the methods of a class-based view's function."""
    view_class = getattr(view, "view_class", None)
    handlers = {name.upper(): getattr(view_class, name, None) for name in getattr(view_class, "http_method_names", ())}
    by_method = ((method, scopes_of(handler)) for method, handler in handlers.items() if scopes_of(handler))
    return Needs(scopes_of(view), tuple(by_method))


def scopes_of(function: Any) -> tuple[str, ...]:
    """The scopes that `require_scopes` asks for before it calls `function`."""
    scopes: tuple[str, ...] = getattr(function, "required_scopes", ())
    return scopes


def _words(scopes: str | Collection[str]) -> tuple[str, ...]:
    words = tuple(scopes.split() if isinstance(scopes, str) else scopes)
    if not all(isinstance(word, str) and is_scope(word) for word in words):
        raise ImproperlyConfigured(
            f'The scopes {scopes!r} must be a list such as ["notes:write"], or a dict of methods to such lists.'
        )
    return words
