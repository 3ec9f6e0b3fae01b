"""What each vendor's provider publishes and issues, as its documentation shows it, and how strict it is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from mcp_oidc import presets
from tests.idp import Grant, Idp, Params, Refused, Reply

CLIENT: dict[str, Any] = {"client_id": "relying:party", "client_secret": "s3cret: ü&=+/"}
OURS = "11111111-2222-3333-4444-555555555555"
THEIRS = "99999999-8888-7777-6666-555555555555"
LOGIN = "https://login.microsoftonline.com"


def _wants_offline_access(grant: Grant) -> bool:
    return "offline_access" in grant.params["scope"].split()


@dataclass
class VendorIdp(Idp):
    """A provider with the discovery document of a vendor. `issuer` is the one that its ID tokens name."""

    preset: dict[str, Any] = field(default_factory=dict)
    document: dict[str, Any] = field(default_factory=dict)
    # Beside those of the document: scopes of an API.
    further_scopes: tuple[str, ...] = ()
    prompts: tuple[str, ...] = ("login", "none", "consent", "select_account")
    gives_refresh_token: Callable[[Grant], bool] = _wants_offline_access

    @property
    def upstream(self) -> dict[str, Any]:
        return self.preset

    @property
    def endpoints(self) -> dict[str, str]:
        """Endpoints by host and path, as `tests.upstream.presets.conftest` sends them here."""
        names = {
            "authorization_endpoint": "authorize",
            "token_endpoint": "token",
            "userinfo_endpoint": "userinfo",
            "jwks_uri": "jwks",
            "revocation_endpoint": "revocation",
        }
        urls = {self.document[name]: endpoint for name, endpoint in names.items() if name in self.document}
        urls[self.preset["ISSUER"].removesuffix("/") + "/.well-known/openid-configuration"] = "discovery"
        urls[f"{self.issuer}/decide"] = "decide"
        return {url.removeprefix("https:/"): endpoint for url, endpoint in urls.items()}

    def _metadata(self) -> dict[str, Any]:
        return self.document

    def _authorize(self, query: Params) -> Reply:
        allowed = {*self.document["scopes_supported"], *self.further_scopes}
        if unknown := set(query["scope"].split()) - allowed:
            raise Refused("invalid_scope", f"not configured: {unknown}")
        if not set(query.get("prompt", "").split()) <= set(self.prompts):
            raise Refused("invalid_request", f"Invalid prompt: {query['prompt']}")
        return super()._authorize(query)

    def _issue(self, grant: Grant, *, with_id_token: bool) -> dict[str, Any]:
        self.has_refresh_tokens = self.gives_refresh_token(grant)
        return super()._issue(grant, with_id_token=with_id_token)


def auth0() -> VendorIdp:
    host = "https://acme.eu.auth0.com"
    return VendorIdp(
        preset=presets.auth0("acme.eu.auth0.com", audience="https://api.acme.example", **CLIENT),
        issuer=f"{host}/",
        document={
            "issuer": f"{host}/",
            "authorization_endpoint": f"{host}/authorize",
            "token_endpoint": f"{host}/oauth/token",
            "device_authorization_endpoint": f"{host}/oauth/device/code",
            "userinfo_endpoint": f"{host}/userinfo",
            "mfa_challenge_endpoint": f"{host}/mfa/challenge",
            "jwks_uri": f"{host}/.well-known/jwks.json",
            "registration_endpoint": f"{host}/oidc/register",
            "revocation_endpoint": f"{host}/oauth/revoke",
            "end_session_endpoint": f"{host}/oidc/logout",
            "scopes_supported": ["openid", "profile", "offline_access", "name", "email", "picture", "phone", "address"],
            "response_types_supported": ["code", "token", "id_token", "code token", "code id_token"],
            "code_challenge_methods_supported": ["S256", "plain"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["public"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "client_secret_post", "private_key_jwt"],
            "id_token_signing_alg_values_supported": ["HS256", "RS256", "PS256"],
            "token_endpoint_auth_signing_alg_values_supported": ["RS256", "RS384", "PS256"],
            "claims_supported": ["aud", "auth_time", "email", "email_verified", "exp", "iat", "iss", "name", "sub"],
            "request_uri_parameter_supported": False,
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
        },
        # What the application is set to; the document names what any may be set to.
        auth_methods=("client_secret_post",),
        users={
            "auth0|65f1c0ffee": {
                "nickname": "alice",
                "name": "Alice",
                "picture": "https://s.gravatar.com/avatar/0?s=480",
                "updated_at": "2026-11-23T08:15:30.000Z",
                "email": "alice@acme.example",
                "email_verified": True,
                "https://acme.example/roles": ["editor"],
            }
        },
        claims={"auth_time": None, "at_hash": None},
        answer={"iss": None},
        token_answer={"scope": "openid profile email offline_access", "expires_in": 86400},
        rotates=True,
    )


def okta() -> VendorIdp:
    server = "https://acme.okta.com/oauth2/default"
    return _okta(server, f"{server}/v1", presets.okta("acme.okta.com", groups=True, **CLIENT))


def okta_org() -> VendorIdp:
    organization = "https://acme.okta.com"
    preset = presets.okta("acme.okta.com", authorization_server=None, groups=True, **CLIENT)
    return _okta(organization, f"{organization}/oauth2/v1", preset)


def _okta(issuer: str, base: str, preset: dict[str, Any]) -> VendorIdp:
    return VendorIdp(
        preset=preset,
        issuer=issuer,
        document={
            "issuer": issuer,
            "authorization_endpoint": f"{base}/authorize",
            "token_endpoint": f"{base}/token",
            "userinfo_endpoint": f"{base}/userinfo",
            "registration_endpoint": "https://acme.okta.com/oauth2/v1/clients",
            "jwks_uri": f"{base}/keys",
            "introspection_endpoint": f"{base}/introspect",
            "revocation_endpoint": f"{base}/revoke",
            "end_session_endpoint": f"{base}/logout",
            "response_types_supported": ["code", "id_token", "code id_token", "code token", "id_token token"],
            "response_modes_supported": ["query", "fragment", "form_post", "okta_post_message"],
            "grant_types_supported": ["authorization_code", "implicit", "refresh_token", "password"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "profile", "email", "address", "phone", "offline_access", "groups"],
            "token_endpoint_auth_methods_supported": [
                "client_secret_basic",
                "client_secret_post",
                "client_secret_jwt",
                "private_key_jwt",
                "none",
            ],
            "claims_supported": ["iss", "ver", "sub", "aud", "iat", "exp", "jti", "auth_time", "amr", "idp", "nonce"],
            "code_challenge_methods_supported": ["S256"],
            "request_parameter_supported": True,
        },
        users={
            "00u1a2b3c4d5e6f7g8h9": {
                "name": "Alice Adams",
                "locale": "en-US",
                "email": "alice@acme.example",
                "preferred_username": "alice@acme.example",
                "given_name": "Alice",
                "family_name": "Adams",
                "zoneinfo": "America/Los_Angeles",
                "updated_at": 1763885730,
                "email_verified": True,
                "groups": ["Everyone", "MCP users"],
            }
        },
        # Where an access token comes along, the ID token is thin.
        has_sub_only_id_tokens=True,
        claims={"ver": 1, "jti": "ID.x9", "amr": ["mfa", "otp", "pwd"], "idp": "00o1", "sid": None},
        answer={"iss": None},
        token_answer={"scope": "offline_access groups openid email profile"},
        rotates=True,
    )


def keycloak() -> VendorIdp:
    realm = "https://sso.acme.example/realms/staff"
    base = f"{realm}/protocol/openid-connect"
    algorithms = ["PS384", "ES384", "RS384", "HS256", "HS512", "ES256", "RS256", "HS384", "ES512", "PS256"]
    return VendorIdp(
        preset=presets.keycloak("https://sso.acme.example", "staff", **CLIENT),
        issuer=realm,
        document={
            "issuer": realm,
            "authorization_endpoint": f"{base}/auth",
            "token_endpoint": f"{base}/token",
            "introspection_endpoint": f"{base}/token/introspect",
            "userinfo_endpoint": f"{base}/userinfo",
            "end_session_endpoint": f"{base}/logout",
            "frontchannel_logout_supported": True,
            "jwks_uri": f"{base}/certs",
            "check_session_iframe": f"{base}/login-status-iframe.html",
            "grant_types_supported": ["authorization_code", "implicit", "refresh_token", "password"],
            "response_types_supported": ["code", "none", "id_token", "token", "id_token token", "code id_token"],
            "subject_types_supported": ["public", "pairwise"],
            "id_token_signing_alg_values_supported": algorithms,
            "id_token_encryption_alg_values_supported": ["RSA-OAEP", "RSA1_5", "ECDH-ES"],
            "userinfo_signing_alg_values_supported": [*algorithms, "none"],
            "scopes_supported": ["openid", "offline_access", "profile", "email", "roles", "basic", "web-origins"],
            "token_endpoint_auth_methods_supported": [
                "private_key_jwt",
                "client_secret_basic",
                "client_secret_post",
                "tls_client_auth",
                "client_secret_jwt",
            ],
            "claims_supported": ["aud", "sub", "iss", "auth_time", "name", "given_name", "family_name", "email", "acr"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "tls_client_certificate_bound_access_tokens": True,
            "revocation_endpoint": f"{base}/revoke",
            "backchannel_logout_supported": True,
            "backchannel_logout_session_supported": True,
            "authorization_response_iss_parameter_supported": True,
        },
        users={
            "f47ac10b-58cc-4372-a567-0e02b2c3d479": {
                "email_verified": True,
                "name": "Alice Adams",
                "preferred_username": "alice",
                "given_name": "Alice",
                "family_name": "Adams",
                "email": "alice@acme.example",
                "groups": ["/staff/editors"],
            }
        },
        claims={"typ": "ID", "azp": "relying:party", "acr": "1", "jti": "0c2b"},
        token_answer={"refresh_expires_in": 0, "not-before-policy": 0, "session_state": "8b1c", "expires_in": 300},
        # Signed responses are a setting of the client.
        signs_userinfo=True,
        rotates=True,
    )


def entra() -> VendorIdp:
    return _entra(OURS, f"{LOGIN}/{OURS}/v2.0", presets.entra(OURS, **CLIENT))


def entra_organizations() -> VendorIdp:
    """For several tenants, of which this token names one."""
    preset = presets.entra("organizations", tenants=[OURS], **CLIENT)
    return _entra("organizations", LOGIN + "/{tenantid}/v2.0", preset)


def _entra(segment: str, announced: str, preset: dict[str, Any]) -> VendorIdp:
    return VendorIdp(
        preset=preset,
        issuer=f"{LOGIN}/{OURS}/v2.0",
        document={
            "token_endpoint": f"{LOGIN}/{segment}/oauth2/v2.0/token",
            "token_endpoint_auth_methods_supported": ["client_secret_post", "private_key_jwt", "client_secret_basic"],
            "jwks_uri": f"{LOGIN}/{segment}/discovery/v2.0/keys",
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["pairwise"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "response_types_supported": ["code", "id_token", "code id_token", "id_token token"],
            "scopes_supported": ["openid", "profile", "email", "offline_access"],
            "issuer": announced,
            "request_uri_parameter_supported": False,
            "userinfo_endpoint": "https://graph.microsoft.com/oidc/userinfo",
            "authorization_endpoint": f"{LOGIN}/{segment}/oauth2/v2.0/authorize",
            "device_authorization_endpoint": f"{LOGIN}/{segment}/oauth2/v2.0/devicecode",
            "http_logout_supported": True,
            "frontchannel_logout_supported": True,
            "end_session_endpoint": f"{LOGIN}/{segment}/oauth2/v2.0/logout",
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "auth_time", "acr", "nonce", "name", "tid", "ver"],
            "kerberos_endpoint": f"{LOGIN}/{segment}/kerberos",
            "tenant_region_scope": None,
            "cloud_instance_name": "microsoftonline.com",
            "cloud_graph_host_name": "graph.windows.net",
            "msgraph_host": "graph.microsoft.com",
        },
        key_members={
            "issuer": announced,
            "alg": None,
            "x5t": "a-thumbprint",
            "cloud_instance_name": "microsoftonline.com",
        },
        users={
            "AAAAAAAAAAAAAAAAAAAAAIkzqFVrSaSaFHy782bbtaQ": {
                "name": "Alice Adams",
                "preferred_username": "alice@acme.example",
                "email": "alice@acme.example",
                "oid": "00000000-0000-0000-66f3-3332eca7ea81",
                "tid": OURS,
                "ver": "2.0",
            }
        },
        claims={"auth_time": None, "at_hash": None, "sid": None, "rh": "0.AX.", "uti": "fqiBqXLPj0eQa82S"},
        userinfo={
            "oid": None,
            "tid": None,
            "ver": None,
            "preferred_username": None,
            "given_name": "Alice",
            "family_name": "Adams",
            "picture": "https://graph.microsoft.com/v1.0/me/photo/$value",
        },
        answer={"iss": None, "session_state": "5f7c"},
        token_answer={"scope": "email openid profile", "ext_expires_in": 4799, "expires_in": 4799},
        rotates=True,
    )


def google() -> VendorIdp:
    consents: set[str] = set()

    def is_asked_for_consent(grant: Grant) -> bool:
        asked = grant.sub not in consents or "consent" in grant.params.get("prompt", "").split()
        consents.add(grant.sub)
        return asked and grant.params.get("access_type") == "offline"

    return VendorIdp(
        preset=presets.google(hosted_domain="acme.example", **CLIENT),
        issuer="https://accounts.google.com",
        document={
            "issuer": "https://accounts.google.com",
            "authorization_endpoint": "https://accounts.google.com/o/oauth2/v2/auth",
            "device_authorization_endpoint": "https://oauth2.googleapis.com/device/code",
            "token_endpoint": "https://oauth2.googleapis.com/token",
            "userinfo_endpoint": "https://openidconnect.googleapis.com/v1/userinfo",
            "revocation_endpoint": "https://oauth2.googleapis.com/revoke",
            "jwks_uri": "https://www.googleapis.com/oauth2/v3/certs",
            "response_types_supported": ["code", "token", "id_token", "code token", "code id_token", "none"],
            "response_modes_supported": ["query", "fragment", "form_post"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "scopes_supported": ["openid", "email", "profile"],
            "token_endpoint_auth_methods_supported": ["client_secret_post", "client_secret_basic"],
            "claims_supported": ["aud", "email", "email_verified", "exp", "family_name", "given_name", "iat", "iss"],
            "code_challenge_methods_supported": ["plain", "S256"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
        },
        prompts=("none", "consent", "select_account"),
        gives_refresh_token=is_asked_for_consent,
        users={
            "110169484474386276334": {
                "name": "Alice Adams",
                "given_name": "Alice",
                "family_name": "Adams",
                "picture": "https://lh3.googleusercontent.com/a/photo",
                "email": "alice@acme.example",
                "email_verified": True,
                "hd": "acme.example",
            }
        },
        claims={"azp": "relying:party", "auth_time": None, "sid": None},
        answer={
            "iss": None,
            "scope": "email profile openid",
            "authuser": "0",
            "hd": "acme.example",
            "prompt": "consent",
        },
        token_answer={"scope": "openid https://www.googleapis.com/auth/userinfo.email", "expires_in": 3599},
    )


def clerk() -> VendorIdp:
    host = "https://clerk.acme.example"
    return VendorIdp(
        preset=presets.clerk("clerk.acme.example", organizations=True, **CLIENT),
        issuer=host,
        document={
            "issuer": host,
            "authorization_endpoint": f"{host}/oauth/authorize",
            "token_endpoint": f"{host}/oauth/token",
            "revocation_endpoint": f"{host}/oauth/token/revoke",
            "introspection_endpoint": f"{host}/oauth/token_info",
            "userinfo_endpoint": f"{host}/oauth/userinfo",
            "jwks_uri": f"{host}/.well-known/jwks.json",
            "response_types_supported": ["code"],
            "grant_types_supported": ["authorization_code", "refresh_token"],
            "token_endpoint_auth_methods_supported": ["client_secret_basic", "none", "client_secret_post"],
            # Those that are ticked for the application.
            "scopes_supported": ["openid", "profile", "email", "user:org:read"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "claims_supported": ["sub", "iss", "aud", "exp", "iat", "email", "name", "org_id"],
            "service_documentation": "https://clerk.com/docs",
            "code_challenge_methods_supported": ["S256"],
        },
        gives_refresh_token=lambda grant: True,
        users={
            "user_2ab3cd4ef5gh6ij7kl8": {
                "name": "Alice Adams",
                "given_name": "Alice",
                "family_name": "Adams",
                "email": "alice@acme.example",
                "email_verified": True,
                "preferred_username": "alice",
                "picture": "https://img.clerk.com/x",
                "org_id": "org_2xyz",
            }
        },
        claims={"auth_time": None, "at_hash": None, "sid": None, "jti": "77"},
        userinfo={"object": "oauth_user_info", "instance_id": "ins_1", "user_id": "user_2ab3cd4ef5gh6ij7kl8"},
        answer={"iss": None},
        token_answer={"scope": "openid profile email user:org:read", "expires_in": 86400},
        expires_in=86400,
    )
