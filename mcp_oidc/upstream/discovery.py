"""The identity provider's metadata (OpenID Connect Discovery 1.0): fetched or set by hand, and checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from mcp_oidc.errors import UpstreamError
from mcp_oidc.protocol.uris import check_web_uri, is_loopback
from mcp_oidc.upstream.http import HttpClient


@dataclass(frozen=True)
class ProviderMetadata:
    """What we use of it. An endpoint that the provider does not have is None."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    end_session_endpoint: str | None
    # RFC 7009
    revocation_endpoint: str | None
    auth_methods: tuple[str, ...]
    # Those of a private_key_jwt; empty where it does not say.
    auth_algorithms: tuple[str, ...]
    id_token_algorithms: tuple[str, ...]
    # Those of a signed userinfo answer.
    userinfo_algorithms: tuple[str, ...]
    # RFC 9207: every answer of the authorization endpoint carries `iss`.
    has_iss_parameter: bool


def fetch_metadata(client: HttpClient, issuer: str, *, announced: str = "") -> ProviderMetadata:
    """The metadata of `issuer`. Raises `UpstreamError` for what cannot be trusted, its subclass where none came.

    `announced` is what the metadata calls its issuer, where that is not `issuer` itself.
    """
    _require_secure("the issuer", issuer)
    # Discovery 4: a slash at the end is removed before the path is added.
    answer = client.get(issuer.removesuffix("/") + "/.well-known/openid-configuration")
    if not answer.is_success:
        raise UpstreamError(f"{answer.where} answered {answer.status}: is the issuer the right one?")
    return parse_metadata(answer.json(), announced or issuer)


def metadata_by_hand(document: Mapping[str, Any], issuer: str, *, announced: str = "") -> ProviderMetadata:
    """The metadata that the project wrote, as `fetch_metadata` gives and refuses it. It need not repeat the issuer."""
    _require_secure("the issuer", issuer)
    return parse_metadata({"issuer": announced or issuer, **document}, announced or issuer)


def parse_metadata(document: Mapping[str, Any], issuer: str) -> ProviderMetadata:
    """The metadata in `document`. Raises `UpstreamError` if it is another issuer's, or an endpoint is not https."""
    # Discovery 4.3: character for character, or somebody else's metadata would do.
    if document.get("issuer") != issuer:
        raise UpstreamError(
            f"the identity provider calls itself {str(document.get('issuer'))[:200]!r}, but"
            f" MCP_OIDC['UPSTREAM']['ISSUER'] is {issuer!r}: write it as the provider does"
        )
    algorithms = _texts(document, "id_token_signing_alg_values_supported", ("RS256",))
    return ProviderMetadata(
        issuer=issuer,
        authorization_endpoint=_required(document, "authorization_endpoint"),
        token_endpoint=_required(document, "token_endpoint"),
        jwks_uri=_required(document, "jwks_uri"),
        userinfo_endpoint=_endpoint(document, "userinfo_endpoint"),
        end_session_endpoint=_endpoint(document, "end_session_endpoint"),
        revocation_endpoint=_endpoint(document, "revocation_endpoint"),
        # Discovery 3: client_secret_basic and RS256 are what goes without saying.
        auth_methods=_texts(document, "token_endpoint_auth_methods_supported", ("client_secret_basic",)),
        auth_algorithms=_texts(document, "token_endpoint_auth_signing_alg_values_supported", ()),
        id_token_algorithms=algorithms,
        userinfo_algorithms=_texts(document, "userinfo_signing_alg_values_supported", algorithms),
        has_iss_parameter=document.get("authorization_response_iss_parameter_supported") is True,
    )


def _required(document: Mapping[str, Any], name: str) -> str:
    endpoint = _endpoint(document, name)
    if endpoint is None:
        raise UpstreamError(f"the metadata of the identity provider lacks {name}")
    return endpoint


def _endpoint(document: Mapping[str, Any], name: str) -> str | None:
    value = document.get(name)
    if value is None:
        return None
    _require_secure(name, value)
    return str(value)


def _require_secure(name: str, value: object) -> None:
    try:
        uri = check_web_uri(value)
    except ValueError as error:
        raise UpstreamError(f"{name} of the identity provider cannot be used: {error}") from None
    if urlsplit(uri).scheme != "https" and not is_loopback(uri):
        raise UpstreamError(f"{name} of the identity provider must be https: it carries secrets")


def _texts(document: Mapping[str, Any], name: str, default: tuple[str, ...]) -> tuple[str, ...]:
    value = document.get(name)
    if value is None:
        return default
    if not isinstance(value, list | tuple) or not all(isinstance(text, str) for text in value):
        raise UpstreamError(f"{name} of the identity provider is not a list of strings")
    return tuple(value)
