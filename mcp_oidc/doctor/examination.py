"""The whole examination, in the order in which things go wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from mcp_oidc.conf import app_settings
from mcp_oidc.doctor.asking import Ask, Unreachable, network
from mcp_oidc.doctor.documents import check_documents, check_resource_metadata, metadata_url, read_document
from mcp_oidc.doctor.endpoints import check_endpoints, check_resource
from mcp_oidc.doctor.findings import Finding, Level, error, ok, warning
from mcp_oidc.doctor.identity_provider import check_identity_provider
from mcp_oidc.doctor.inside import check_inside
from mcp_oidc.doctor.products import ADDRESS, Verdict, judge
from mcp_oidc.protocol.uris import is_loopback


@dataclass(frozen=True)
class Report:
    """What was found. `verdicts` is empty where the server was not looked at from outside."""

    issuer: str | None
    findings: tuple[Finding, ...]
    verdicts: tuple[Verdict, ...] = ()

    def count(self, level: Level) -> int:
        """How many findings are of this level."""
        return sum(finding.level == level for finding in self.findings)


def examine(url: str | None = None, *, ask: Ask | None = None, ask_provider: Ask | None = None) -> Report:
    """Look at this installation, and from outside at the server at `url` (default: ISSUER).

    Without either it is looked at from inside only. `ask` and `ask_provider` replace the network, for tests.
    """
    inside = tuple(check_inside())
    issuer = url or app_settings.ISSUER
    if issuer is None:
        return Report(None, inside)
    ask = ask or network()
    metadata = read_document(ask, metadata_url(issuer.rstrip("/"))) or {}
    outside = (*_check_address(issuer), *_check_outside(ask, issuer.rstrip("/"), metadata))
    provider = tuple(check_identity_provider(issuer, ask_provider))
    return Report(issuer, (*inside, *outside, *provider), judge(issuer, metadata, outside))


def _check_outside(ask: Ask, issuer: str, metadata: dict[str, Any]) -> Iterator[Finding]:
    try:
        ask("GET", issuer, {}, b"")
    except Unreachable as failure:
        # One word for all that would be said of every document and endpoint.
        yield error(ADDRESS, f"{failure}.", "Is the server up, its name known here, and its certificate right?")
        return
    yield from check_documents(ask, issuer)
    yield from check_endpoints(ask, metadata)
    for resource in _resources(issuer, metadata):
        yield from check_resource_metadata(ask, issuer, resource)
        yield from check_resource(ask, resource)


def _check_address(issuer: str) -> Iterator[Finding]:
    configured = app_settings.ISSUER
    if issuer.endswith("/"):
        mend = "Leave the slash out: users paste the address without it, and clients compare it as text."
        yield error(ADDRESS, f"{issuer} ends in a slash.", mend)
    elif configured is not None and configured != issuer:
        mend = f'Write "ISSUER": "{issuer}" in MCP_OIDC, if that is the address that clients see.'
        yield error(ADDRESS, f"ISSUER is {configured}, and not {issuer}.", mend)
    elif not issuer.startswith("https://") and not is_loopback(issuer):
        mend = 'Serve it over https, and write "ISSUER": "https://…".'
        yield error(ADDRESS, f"{issuer} is not https: tokens travel in the clear, and clients refuse it.", mend)
    elif not issuer.startswith("https://"):
        yield warning(ADDRESS, f"{issuer} is for this machine only.", "https and a name, for everybody else.")
    else:
        yield ok(ADDRESS, f"{issuer} is https.")


def _resources(issuer: str, metadata: dict[str, Any]) -> list[str]:
    published = metadata.get("protected_resources")
    if isinstance(published, list) and all(isinstance(each, str) for each in published):
        return published
    return [resource.identifier for resource in app_settings.resources(issuer)]
