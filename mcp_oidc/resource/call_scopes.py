"""The one place that decides whether a token is enough for a call: by its HTTP method, JSON-RPC method and tool.

What the body calls decides. The headers Mcp-Method and Mcp-Name repeat it: they can close the door before the body is
read, and never open it, since a header may lie.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol, TypeVar

from mcp_oidc.errors import InsufficientScope
from mcp_oidc.protocol.mcp_calls import Operation, called_operations
from mcp_oidc.protocol.mcp_requests import Head, read_head

N = TypeVar("N", bound="CallNeeds")


class Bearer(Protocol):
    """Who calls, as far as it is looked at here."""

    def has_scopes(self, scopes: tuple[str, ...]) -> bool: ...


@dataclass(frozen=True, kw_only=True)
class CallNeeds:
    """The scopes that calls of one endpoint need: any call, and besides by HTTP or JSON-RPC method and by tool."""

    scopes: tuple[str, ...]
    method_scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    tool_scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    def at(self: N, http_method: str | None) -> N:
        """The needs as a request of this method finds them: with the method's scopes among those of any call."""
        if not self.method_scopes:
            return self
        method = (http_method or "").upper()
        # Frameworks answer HEAD with what answers GET.
        names = ("GET", "HEAD") if method == "HEAD" else (method,)
        further = [scope for name in names for scope in self.method_scopes.get(name, ())]
        return replace(self, scopes=tuple(dict.fromkeys([*self.scopes, *further]))) if further else self

    @cached_property
    def message_scopes(self) -> tuple[str, ...]:
        """The scopes that some JSON-RPC message or other needs besides. HTTP methods are written in capitals."""
        of_methods = [scopes for method, scopes in self.method_scopes.items() if not method.isupper()]
        return tuple(scope for scopes in (*of_methods, *self.tool_scopes.values()) for scope in scopes)


def require_scopes_of_head(
    principal: Bearer, needs: CallNeeds, http_method: str, header: Callable[[str], str | None]
) -> Head | None:
    """The head of a request of which only the body tells whether the token is enough; None if it is for sure.

    Raises `InsufficientScope` for what the head alone rules out. `header` finds a header by its name in lower case.
    """
    if not needs.message_scopes:
        _require(principal, needs, ())
        return None
    if principal.has_scopes((*needs.scopes, *needs.message_scopes)):
        return None
    head = read_head(http_method, header)
    if head.mcp_method is not None:
        _require(principal, needs, [Operation(head.mcp_method, head.mcp_name)])
    return head


def require_scopes_of_body(principal: Bearer, body: bytes, head: Head, needs: CallNeeds) -> None:
    """Raise `InsufficientScope`, with all that is needed, if `body` calls what the token does not cover.

    A batch needs what all its calls need. Raises `InvalidRequest` for what is not JSON, or too large to tell, and
    `HeaderMismatch`.
    """
    _require(principal, needs, called_operations(body, head))


def _require(principal: Bearer, needs: CallNeeds, operations: Iterable[Operation]) -> None:
    further = [scope for operation in operations for scope in _scopes_of(operation, needs)]
    needed = tuple(dict.fromkeys([*needs.scopes, *further])) if further else needs.scopes
    if not principal.has_scopes(needed):
        raise InsufficientScope("The access token lacks a scope that this call needs.", scopes=needed)


def _scopes_of(operation: Operation, needs: CallNeeds) -> tuple[str, ...]:
    of_method = needs.method_scopes.get(operation.method, ())
    if operation.method != "tools/call" or operation.name is None:
        return of_method
    return (*of_method, *needs.tool_scopes.get(operation.name, ()))
