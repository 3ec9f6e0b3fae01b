"""The identity provider, as far as it can be seen without anybody logging in."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlsplit

from mcp_oidc.conf import Upstream, app_settings
from mcp_oidc.doctor.asking import Ask, Reply, Unreachable, network
from mcp_oidc.doctor.documents import read_document
from mcp_oidc.doctor.findings import Finding, error, note, ok, warning
from mcp_oidc.errors import UpstreamError, UpstreamRefused, UpstreamUnavailable
from mcp_oidc.protocol.pkce import challenge_for, new_verifier
from mcp_oidc.upstream.provider import Provider, get_provider

PROVIDER, CLOCK, SCOPES = "identity-provider", "identity-provider-clock", "identity-provider-scopes"
REDIRECT_URI, CREDENTIALS = "identity-provider-redirect-uri", "identity-provider-credentials"

# Seconds; the leeway of our own checks of ID tokens.
_LEEWAY = 60


def check_identity_provider(issuer: str, ask: Ask | None = None) -> Iterator[Finding]:
    """Discovery, clock, scopes, redirect URI and credentials. `ask` replaces the way to it, for tests."""
    provider = get_provider()
    if provider is None:
        yield note(PROVIDER, "Users log in at the project's own LOGIN_URL: there is no UPSTREAM.")
        return
    upstream = provider.upstream
    try:
        # Fetched anew, and not what this process may remember of better days.
        metadata = type(provider)(upstream).metadata
    except UpstreamUnavailable as failure:
        yield error(PROVIDER, f"The identity provider does not answer: {failure}.", _UNREACHABLE)
        return
    except UpstreamError as failure:
        yield error(PROVIDER, f"The identity provider cannot be used: {failure}.", _WRONG_ISSUER)
        return
    yield ok(PROVIDER, f"{upstream.issuer} publishes metadata that can be used.")
    ask = ask or network(proxy=upstream.proxy, ca_bundle=upstream.ca_bundle)
    yield from _check_clock(ask, metadata.jwks_uri)
    yield from _check_scopes(ask, upstream)
    redirect_uri = f"{issuer}/oauth/callback"
    yield from _check_redirect_uri(ask, provider, redirect_uri)
    yield from _check_credentials(provider, redirect_uri)


_UNREACHABLE = (
    "Can this machine reach it? `PROXY` and `CA_BUNDLE` of UPSTREAM are for proxies and authorities of your own."
)
_WRONG_ISSUER = "Write its ISSUER in UPSTREAM as the provider writes it; docs/idps has a page for each."


def _check_clock(ask: Ask, url: str) -> Iterator[Finding]:
    try:
        stamp = ask("GET", url, {}, b"").headers.get("date", "")
        difference = (datetime.now(UTC) - parsedate_to_datetime(stamp)).total_seconds()
    except (Unreachable, ValueError, TypeError):
        # Without a Date, or with one that tells no zone, there is nothing to compare.
        return
    if abs(difference) > _LEEWAY:
        yield error(
            CLOCK,
            f"This machine's clock is {difference:+.0f} seconds off the identity provider's: its tokens are refused.",
            "Let both follow a time server (NTP).",
        )
    else:
        yield ok(CLOCK, "This machine's clock and the identity provider's agree.")


def _check_scopes(ask: Ask, upstream: Upstream) -> Iterator[Finding]:
    document = upstream.metadata or read_document(
        ask, upstream.issuer.removesuffix("/") + "/.well-known/openid-configuration"
    )
    supported = (document or {}).get("scopes_supported")
    if not isinstance(supported, list):
        return
    unknown = [scope for scope in upstream.scopes if scope not in supported]
    if unknown:
        yield warning(
            SCOPES,
            f"The identity provider does not list the scope {unknown[0]!r}, and may refuse every login for it.",
            f'Leave {unknown[0]!r} out of "SCOPES" in UPSTREAM, or allow it to the application at the provider.',
        )
    elif "offline_access" in supported and "offline_access" not in upstream.scopes:
        yield warning(
            SCOPES,
            "Without offline_access the identity provider gives no refresh token: tools lose its token after a while, "
            "and users whom it disables keep their access.",
            f'"SCOPES": "{" ".join(upstream.scopes)} offline_access" in UPSTREAM.',
        )
    else:
        yield ok(SCOPES, "The identity provider knows the scopes that we ask for.")


def _check_redirect_uri(ask: Ask, provider: Provider, redirect_uri: str) -> Iterator[Finding]:
    url = provider.authorization_url(
        redirect_uri=redirect_uri,
        state=secrets.token_urlsafe(32),
        nonce=secrets.token_urlsafe(32),
        code_challenge=challenge_for(new_verifier()),
        # Nobody is there to be asked: a provider that knows us sends the browser straight back.
        prompt="none",
    )
    try:
        reply = ask("GET", url, {}, b"")
    except Unreachable as failure:
        yield error(REDIRECT_URI, f"The login page of the identity provider: {failure}.", _UNREACHABLE)
        return
    yield _judge_redirect(reply, redirect_uri)


def _judge_redirect(reply: Reply, redirect_uri: str) -> Finding:
    location = reply.headers.get("location", "")
    if reply.is_redirect and location.startswith(redirect_uri):
        code = parse_qs(urlsplit(location).query).get("error", [""])[0]
        if code in ("invalid_scope", "unauthorized_client", "invalid_request", "unsupported_response_type"):
            mend = "Look at what the application may do in the provider's console, and at SCOPES and AUTH_PARAMS."
            return error(REDIRECT_URI, f"The identity provider sends users back with {code}.", mend)
        return ok(REDIRECT_URI, f"The identity provider knows the redirect URI {redirect_uri}.")
    if 400 <= reply.status < 500:
        return error(
            REDIRECT_URI,
            f"The identity provider refuses to begin a login ({reply.status}): it knows this CLIENT_ID or its redirect "
            "URI not.",
            f"Enter {redirect_uri} as a redirect URI there, to the letter, for the application {_the_client_id()}.",
        )
    return note(
        REDIRECT_URI,
        "Whether the identity provider knows our redirect URI cannot be seen from here.",
        f"It has to be {redirect_uri}.",
    )


def _the_client_id() -> str:
    upstream = app_settings.UPSTREAM
    return upstream.client_id if upstream is not None else ""


def _check_credentials(provider: Provider, redirect_uri: str) -> Iterator[Finding]:
    try:
        provider.exchange_code("doctor", redirect_uri=redirect_uri, code_verifier=new_verifier())
    except UpstreamRefused as refusal:
        if refusal.is_about_us:
            yield error(
                CREDENTIALS,
                f"The identity provider does not accept this server: {refusal.code}.",
                "Compare CLIENT_ID and CLIENT_SECRET in UPSTREAM with its console; secrets expire at some providers.",
            )
        elif refusal.code == "invalid_grant":
            yield ok(CREDENTIALS, "The identity provider accepts our client credentials.")
        else:
            yield note(CREDENTIALS, f"The identity provider answers a made-up code with {refusal.code}.")
    except UpstreamError as failure:
        yield error(CREDENTIALS, f"The token endpoint of the identity provider: {failure}.", _UNREACHABLE)
    else:
        yield error(CREDENTIALS, "The identity provider gives tokens for a made-up code.", "Use another provider.")
