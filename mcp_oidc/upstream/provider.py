"""The identity provider that is configured: what can be asked of it."""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from functools import partial
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

from mcp_oidc.conf import Upstream, app_settings
from mcp_oidc.core.upstream_tokens import IdpTokens
from mcp_oidc.errors import UpstreamError, UpstreamRefused
from mcp_oidc.protocol.public_keys import PublicKeys
from mcp_oidc.protocol.uris import with_params
from mcp_oidc.upstream.claims import Authentication, describe_login
from mcp_oidc.upstream.client_authentication import authenticate_client
from mcp_oidc.upstream.discovery import ProviderMetadata, fetch_metadata, metadata_by_hand
from mcp_oidc.upstream.documents import CachedDocument, DocumentState
from mcp_oidc.upstream.http import Answer, HttpClient
from mcp_oidc.upstream.id_tokens import Expected, verify_id_token
from mcp_oidc.upstream.jwks import ProviderKeys, parse_keys
from mcp_oidc.upstream.signed_claims import KeyFinder
from mcp_oidc.upstream.token_answers import parse_answer, printable_code
from mcp_oidc.upstream.userinfo import read_userinfo

logger = logging.getLogger("mcp_oidc.upstream")


class Provider:
    """An OpenID provider. MCP_OIDC["UPSTREAM"]["CLIENT_CLASS"] names a subclass for one that is different.

    One instance serves all threads of a process. Every method may raise `UpstreamUnavailable`, which is worth a retry,
    and `UpstreamError` for an answer that cannot be trusted.
    """

    def __init__(self, upstream: Upstream) -> None:
        self.upstream = upstream
        # Whatever is asked of the provider goes this way: within TIMEOUT, by PROXY, trusting CA_BUNDLE.
        self.http = HttpClient(timeout=upstream.timeout, proxy=upstream.proxy, ca_bundle=upstream.ca_bundle)
        self._metadata = CachedDocument(self._load_metadata)
        self._keys = ProviderKeys(self._fetch_keys)

    @property
    def metadata(self) -> ProviderMetadata:
        """The provider's metadata: METADATA, or what it publishes, kept for some minutes and stale in an outage."""
        return self._metadata.get()

    def prepare(self) -> None:
        """Fetch what a request will need, so that the request itself is all that is left to wait for."""
        self._metadata.get()

    @property
    def metadata_state(self) -> DocumentState:
        """How old its metadata is, and why it could not be had. Asks nothing of the network."""
        return self._metadata.state

    @property
    def keys_state(self) -> DocumentState:
        """The same of its keys."""
        return self._keys.state

    @property
    def announced_issuer(self) -> str:
        """What the provider's metadata has to call its issuer."""
        return self.upstream.issuer

    @property
    def client_assertion_audience(self) -> str:
        """For whom we sign a `private_key_jwt`. Override it with the issuer for a provider that wants that, as Auth0.

        One and not both: with several audiences, a provider could use our assertion at another one.
        """
        # OpenID Connect Core 9: SHOULD be the token endpoint. Microsoft Entra and Okta ask for it, and Keycloak takes
        # both. The draft rfc7523bis wants the issuer, so that an assertion for one provider cannot be used at another;
        # ours goes to the very URL that it names.
        return self.metadata.token_endpoint

    def is_issuer(self, issuer: str) -> bool:
        """Whether `issuer` is this provider's. One that stands for several issuers overrides it."""
        return issuer == self.upstream.issuer

    def authorization_url(
        self,
        *,
        redirect_uri: str,
        state: str,
        nonce: str,
        code_challenge: str,
        prompt: str = "",
        max_age: int | None = None,
        ui_locales: tuple[str, ...] = (),
    ) -> str:
        """Where to send a browser to log in (OpenID Connect Core 3.1.2.1, RFC 7636). `max_age` is in seconds.

        The client's `resource` is ours and never sent: Entra refuses requests that name one it does not know.
        """
        params = {
            **({"ui_locales": " ".join(ui_locales)} if ui_locales else {}),
            # Before all others, so that nothing a project adds can replace what protects the login.
            **self.upstream.auth_params,
            "response_type": "code",
            "client_id": self.upstream.client_id,
            "redirect_uri": redirect_uri,
            "scope": " ".join(self.upstream.scopes),
            "state": state,
            "nonce": nonce,
            "code_challenge": code_challenge,
            "code_challenge_method": "S256",
            **({"prompt": prompt} if prompt else {}),
            **({"max_age": str(max_age)} if max_age is not None else {}),
        }
        return with_params(self.metadata.authorization_endpoint, params)

    def exchange_code(self, code: str, *, redirect_uri: str, code_verifier: str) -> IdpTokens:
        """The tokens for an authorization code. Raises `UpstreamRefused` if the provider says no."""
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": code_verifier,
        }
        return self._request_tokens(form)

    def refresh(self, refresh_token: str) -> IdpTokens:
        """Fresh tokens; what the provider leaves out stays as it was. Raises `UpstreamRefused` if it says no."""
        return self._request_tokens({"grant_type": "refresh_token", "refresh_token": refresh_token})

    def identify(self, tokens: IdpTokens, *, nonce: str, max_age: int | None) -> Authentication:
        """Who logged in: the ID token verified in full, and its claims completed from userinfo.

        Override this for a provider without ID tokens. The claims need `sub`, which is stable and never reused.
        """
        if tokens.id_token is None:
            raise UpstreamError("the answer of the token endpoint holds no ID token: is openid among the SCOPES?")
        issuer = self.issuer_for(tokens.id_token)
        expected = Expected(
            issuer=issuer,
            client_id=self.upstream.client_id,
            nonce=nonce,
            access_token=tokens.access_token,
            max_age=max_age,
        )
        claims = verify_id_token(
            tokens.id_token,
            self.key_finder(issuer),
            algorithms=self.metadata.id_token_algorithms,
            expected=expected,
        )
        self.require_member(claims)
        return describe_login(claims, self.userinfo(tokens.access_token, issuer=issuer))

    def issuer_for(self, id_token: str) -> str:
        """The issuer that this ID token has to name. Nothing of it is verified yet."""
        return self.upstream.issuer

    def key_finder(self, issuer: str, *, is_unasked: bool = False) -> KeyFinder:
        """What finds the key for a signature of this issuer's; `is_unasked` for what anybody may have sent."""
        return partial(self._keys.find, is_unasked=is_unasked)

    def require_member(self, claims: Mapping[str, Any]) -> None:
        """Raise `ForeignAccount` where the ID token, which is verified, is of an organization that may not log in."""

    def userinfo(self, access_token: str, *, issuer: str | None = None) -> dict[str, Any] | None:
        """What userinfo says of the token's user. None where there is no such endpoint, or not for this token.

        `issuer` is that of the user's ID token, for a provider that stands for several.
        """
        endpoint = self.metadata.userinfo_endpoint
        if endpoint is None:
            return None
        answer = self.http.get(endpoint, bearer=access_token)
        if answer.status in (401, 403):
            # An access token that was asked for another API, as with Entra, opens no userinfo. The ID token has to do.
            logger.info("userinfo does not take the access token: %s answered %s", answer.where, answer.status)
            return None
        if not answer.is_success:
            raise UpstreamError(f"{answer.where} answered {answer.status}")
        issuer = issuer or self.upstream.issuer
        return read_userinfo(
            answer,
            self.key_finder(issuer),
            algorithms=self.metadata.userinfo_algorithms,
            issuer=issuer,
            client_id=self.upstream.client_id,
        )

    def logout_url(self, id_token: str | None, *, redirect_uri: str) -> str | None:
        """Where to send a browser to log out (OpenID Connect RP-Initiated Logout 1.0), or None if there is no such."""
        endpoint = self.metadata.end_session_endpoint
        if endpoint is None:
            return None
        hint = {"id_token_hint": id_token} if id_token else {}
        return with_params(
            endpoint, {**hint, "client_id": self.upstream.client_id, "post_logout_redirect_uri": redirect_uri}
        )

    def revoke(self, refresh_token: str) -> None:
        """End a refresh token that nobody needs any more (RFC 7009). Nothing happens where there is no such endpoint.

        Raises `UpstreamRefused` if the provider says no. A token that it does not know has ended (RFC 7009 2.2).
        """
        endpoint = self.metadata.revocation_endpoint
        if endpoint is None:
            return
        answer = self._post(endpoint, {"token": refresh_token, "token_type_hint": "refresh_token"})
        if not answer.is_success:
            raise UpstreamRefused(printable_code(answer.json().get("error")), answer.status)

    def _request_tokens(self, form: dict[str, str]) -> IdpTokens:
        answer = self._post(self.metadata.token_endpoint, form)
        return parse_answer(answer, asked_scopes=self.upstream.scopes)

    def _post(self, endpoint: str, form: dict[str, str]) -> Answer:
        """The answer of an endpoint where we have to prove who we are."""
        credentials = authenticate_client(
            self.upstream, self.metadata, assertion_audience=self.client_assertion_audience
        )
        return self.http.post(endpoint, {**form, **credentials.params}, headers=credentials.headers)

    def _load_metadata(self) -> ProviderMetadata:
        issuer, by_hand = self.upstream.issuer, self.upstream.metadata
        if by_hand is not None:
            return metadata_by_hand(by_hand, issuer, announced=self.announced_issuer)
        return fetch_metadata(self.http, issuer, announced=self.announced_issuer)

    def _fetch_keys(self) -> PublicKeys:
        answer = self.http.get(self.metadata.jwks_uri)
        if not answer.is_success:
            raise UpstreamError(f"{answer.where} answered {answer.status}")
        return parse_keys(answer.json())


class _Cache:
    """The provider of this process, which keeps its metadata and keys. Another setting makes another one."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.provider: Provider | None = None
        self.pid = 0

    def get(self, upstream: Upstream) -> Provider:
        with self.lock:
            # After a fork, what a thread of the parent had begun would never end in the child.
            if self.provider is None or self.provider.upstream != upstream or self.pid != os.getpid():
                self.provider, self.pid = _make(upstream), os.getpid()
            return self.provider


_cache = _Cache()


def get_provider() -> Provider | None:
    """The provider of MCP_OIDC["UPSTREAM"], or None without it. Asks nothing of the network."""
    upstream = app_settings.UPSTREAM
    return _cache.get(upstream) if upstream is not None else None


def forget_provider() -> None:
    """Fetch the provider's metadata and keys again at the next use."""
    _cache.provider = None


def _make(upstream: Upstream) -> Provider:
    try:
        client_class: type[Provider] = import_string(upstream.client_class)
    except ImportError as error:
        raise ImproperlyConfigured(
            f"MCP_OIDC['UPSTREAM']['CLIENT_CLASS'] is {upstream.client_class!r}, but must be the path of a subclass of"
            f" mcp_oidc.upstream.provider.Provider ({error})."
        ) from None
    return client_class(upstream)
