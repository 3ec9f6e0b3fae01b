"""Protected MCP endpoints, as `MCP_OIDC["RESOURCES"]` lists them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from mcp_oidc.conf.reading import is_url, read_scope_table, read_scopes, wrong
from mcp_oidc.protocol.resource_metadata import metadata_url_of
from mcp_oidc.protocol.uris import origin_of


@dataclass(frozen=True)
class Resource:
    """A protected MCP endpoint. `identifier` is the one string for it: in its metadata, in `aud` and in clients."""

    identifier: str
    name: str
    scopes: tuple[str, ...]
    documentation: str
    # Tool, and HTTP or JSON-RPC method, to the scopes that calling it needs besides.
    tool_scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)
    method_scopes: Mapping[str, tuple[str, ...]] = field(default_factory=dict, hash=False)

    @property
    def every_scope(self) -> tuple[str, ...]:
        """The scopes that some call or other needs."""
        tables = (self.tool_scopes, self.method_scopes)
        further = [scope for table in tables for scopes in table.values() for scope in scopes]
        return tuple(dict.fromkeys([*self.scopes, *further]))

    @property
    def path(self) -> str:
        """The path of the endpoint, as its metadata URL repeats it."""
        return urlsplit(self.identifier).path

    @property
    def metadata_url(self) -> str:
        """Where the protected resource metadata is (RFC 9728 3.1)."""
        return metadata_url_of(self.identifier)


def check_resources(value: object) -> Mapping[str, Mapping[str, Any]]:
    """`value`, if it is what RESOURCES has to be. Raises `ImproperlyConfigured`."""
    if not isinstance(value, Mapping) or not value:
        raise wrong("RESOURCES", value, 'a dict such as {"/mcp": {"NAME": "My tools"}}')
    for key, options in value.items():
        if not isinstance(key, str) or not is_url(f"https://host{key}" if key.startswith("/") else key):
            raise wrong("RESOURCES", key, "a path that begins with / or an absolute URL")
        _check_options(f"['RESOURCES'][{key!r}]", options)
    return value


def make_resource(key: str, options: Mapping[str, Any], *, issuer: str, default_scopes: tuple[str, ...]) -> Resource:
    """The resource of an entry; a path belongs to the issuer's own origin."""
    return Resource(
        identifier=origin_of(issuer) + key if key.startswith("/") else key,
        name=str(options.get("NAME", "")),
        scopes=read_scopes("SCOPES", options.get("SCOPES", default_scopes)),
        documentation=str(options.get("DOCUMENTATION", "")),
        tool_scopes=read_scope_table("TOOL_SCOPES", options.get("TOOL_SCOPES", {})),
        method_scopes=read_scope_table("METHOD_SCOPES", options.get("METHOD_SCOPES", {})),
    )


def _check_options(path: str, options: object) -> None:
    if not isinstance(options, Mapping):
        raise wrong(path, options, "a dict, which may be empty")
    read_scopes(f"{path}['SCOPES']", options.get("SCOPES", ()))
    for table in ("TOOL_SCOPES", "METHOD_SCOPES"):
        read_scope_table(f"{path}[{table!r}]", options.get(table, {}))
