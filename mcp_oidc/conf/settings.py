"""Each key of `MCP_OIDC`: one typed property, whose docstring is its documentation."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from django.conf import settings as django_settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.functional import Promise
from django.utils.module_loading import import_string
from django.utils.translation import gettext_lazy

from mcp_oidc.conf.reading import (
    is_url,
    read_choice,
    read_flag,
    read_number,
    read_scope_table,
    read_scopes,
    read_text,
    read_texts,
    wrong,
)
from mcp_oidc.conf.resources import Resource, check_resources, make_resource
from mcp_oidc.conf.upstream import Upstream, read_upstream
from mcp_oidc.protocol.scopes import OPENID_SCOPES, close_implications, with_implied

INSPECTOR_ORIGIN = "http://localhost:6274"
DAY = 24 * 60 * 60
# What JSON begins with, and keys in a form that is not understood: their text must not be taken for a path.
_NO_PATH = ("{", "[", "-----BEGIN")
# Translated lazily, or not at all.
_TEXT = (str, Promise)

REDIRECT_SCHEMES = (
    "cursor",
    "vscode",
    "vscode-insiders",
    "vscodium",
    "windsurf",
    "windsurf-next",
    "zed",
    "raycast",
    "claude",
    "warp",
)


class Settings:
    """`MCP_OIDC`, key by key."""

    @property
    def _dict(self) -> Mapping[str, Any]:
        value = getattr(django_settings, "MCP_OIDC", {})
        # What it nearly always is goes first: asking an abstract class takes longer.
        if not isinstance(value, (dict, Mapping)):
            raise ImproperlyConfigured(
                'MCP_OIDC must be a dict, such as MCP_OIDC = {"ISSUER": "https://mcp.example.com"}.'
            )
        return value

    @property
    def ISSUER(self) -> str | None:
        """Public URL of this server, the one issuer in every document. Derived from the request while DEBUG."""
        value = read_text(self._dict, "ISSUER", "")
        if not value:
            return None
        if not is_url(value) or "?" in value:
            raise wrong("ISSUER", value, "a URL without query and fragment, such as https://mcp.example.com")
        if value.endswith("/"):
            # Clients compare it as a string, and the connector URL that people paste has no slash.
            raise wrong("ISSUER", value, f"without the slash at its end: {value.rstrip('/')}")
        return value

    @property
    def UPSTREAM(self) -> Upstream | None:
        """The IdP that users log in at: a dict of ISSUER, CLIENT_ID, CLIENT_SECRET, SCOPES, AUTH_PARAMS, CLIENT_CLASS.

        Absent, the project's own LOGIN_URL is used.
        """
        return read_upstream(self._dict.get("UPSTREAM"))

    @property
    def RESOURCES(self) -> Mapping[str, Mapping[str, Any]]:
        """Protected MCP endpoints: path or absolute URL to NAME, SCOPES (needed for any call), TOOL_SCOPES and
        METHOD_SCOPES (tool, or HTTP or JSON-RPC method, to the further scopes that it needs), DOCUMENTATION.
        """
        return check_resources(self._dict.get("RESOURCES", {"/mcp": {}}))

    @property
    def SCOPES(self) -> Mapping[str, str]:
        """Scope to the sentence that the consent page shows."""
        value = self._dict.get("SCOPES", {"mcp": gettext_lazy("Use this MCP server as you")})
        if not isinstance(value, Mapping) or not all(isinstance(text, _TEXT) for text in value.values()):
            raise wrong("SCOPES", value, 'a dict such as {"mcp": "Use this MCP server as you"}')
        read_scopes("SCOPES", tuple(value))
        return value

    @property
    def IMPLIED_SCOPES(self) -> Mapping[str, tuple[str, ...]]:
        """Scope to the narrower ones that whoever has it has too. Here with what those imply in turn."""
        value = read_scope_table("IMPLIED_SCOPES", self._dict.get("IMPLIED_SCOPES", {}))
        read_scopes("IMPLIED_SCOPES", tuple(value))
        if not {scope for scopes in value.values() for scope in scopes}.isdisjoint(OPENID_SCOPES):
            # They release what the provider said of a person, who is to be asked for just that.
            raise wrong("IMPLIED_SCOPES", value, f"without {', '.join(OPENID_SCOPES)}, which nothing can imply")
        try:
            return close_implications(value)
        except ValueError as error:
            raise wrong("IMPLIED_SCOPES", value, f"without scopes that imply each other: {error}") from None

    @property
    def JWKS(self) -> str | Mapping[str, Any] | None:
        """Private signing keys as a JWK Set: JSON text, dict or the path of a file. Else keys live in the database."""
        value = self._dict.get("JWKS") or os.environ.get("JWKS")
        if not value:
            return None
        if isinstance(value, Path) or (isinstance(value, str) and not value.lstrip().startswith(_NO_PATH)):
            return _read_jwks(Path(value))
        if not isinstance(value, (str, Mapping)):
            raise wrong("JWKS", type(value), "JSON text, a dict or the path of a file")
        return value

    @property
    def ACCESS_TOKEN_LIFETIME(self) -> int:
        """Seconds."""
        return self._seconds("ACCESS_TOKEN_LIFETIME", 3600)

    @property
    def REFRESH_TOKEN_LIFETIME(self) -> int:
        """Seconds since the last use."""
        return self._seconds("REFRESH_TOKEN_LIFETIME", 30 * DAY)

    @property
    def AUTHORIZATION_CODE_LIFETIME(self) -> int:
        """Seconds."""
        return self._seconds("AUTHORIZATION_CODE_LIFETIME", 60)

    @property
    def REFRESH_TOKEN_GRACE(self) -> int:
        """Seconds in which the previous refresh token may be used beside its successor."""
        return self._seconds("REFRESH_TOKEN_GRACE", 60, least=0)

    @property
    def REFRESH_TOKEN_RETRY(self) -> int:
        """Seconds in which the previous refresh token may be used while its successor was never seen."""
        return self._seconds("REFRESH_TOKEN_RETRY", DAY, least=0)

    @property
    def REFRESH_TOKEN_REPLAY(self) -> str:
        """What a replayed refresh token does to its Connection: "revoke" it, or only "refuse" the request."""
        return read_choice(self._dict, "REFRESH_TOKEN_REPLAY", ("revoke", "refuse"))

    @property
    def CONNECTION_MAX_AGE(self) -> int | None:
        """Seconds after which a connection ends, however much it is used. None: never."""
        if self._dict.get("CONNECTION_MAX_AGE") is None:
            return None
        return self._seconds("CONNECTION_MAX_AGE", 0)

    @property
    def CONSENT(self) -> str:
        """When the user is asked: "always", "remember" (again only for something new) or "never"."""
        return read_choice(self._dict, "CONSENT", ("remember", "always", "never"))

    @property
    def CONSENT_REMEMBER_LOCAL(self) -> bool:
        """Whether consent is remembered, too, for redirects to loopback hosts and private-use schemes.

        Any program on the person's device may answer there under the id of another (RFC 8252 8.6), so it is off.
        """
        return read_flag(self._dict, "CONSENT_REMEMBER_LOCAL", default=False)

    @property
    def REGISTRATION(self) -> str:
        """Who may register: "open", "cimd" (only clients with a metadata document) or "closed"."""
        return read_choice(self._dict, "REGISTRATION", ("open", "cimd", "closed"))

    @property
    def REGISTRATIONS_PER_ADDRESS(self) -> int:
        """Registrations an hour from one address whose clients nobody has used. 0: no limit."""
        return read_number(self._dict, "REGISTRATIONS_PER_ADDRESS", 1000, least=0, unit="registrations")

    @property
    def REGISTRATIONS_PER_HOUR(self) -> int:
        """Registrations an hour in all whose clients nobody has used. 0: no limit."""
        return read_number(self._dict, "REGISTRATIONS_PER_HOUR", 10_000, least=0, unit="registrations")

    @property
    def CLIENT_UNUSED_LIFETIME(self) -> int:
        """Seconds after which cleanup deletes a registered client that nobody ever used."""
        return self._seconds("CLIENT_UNUSED_LIFETIME", DAY)

    @property
    def CLIENT_LIFETIME(self) -> int:
        """Seconds since its last use after which cleanup deletes a registered client."""
        return self._seconds("CLIENT_LIFETIME", 90 * DAY)

    @property
    def EVENT_LIFETIME(self) -> int | None:
        """Seconds after which cleanup deletes an event of the audit. None: never."""
        if "EVENT_LIFETIME" in self._dict and self._dict["EVENT_LIFETIME"] is None:
            return None
        return self._seconds("EVENT_LIFETIME", 400 * DAY)

    @property
    def AUDIT_REFRESHES(self) -> bool:
        """Whether each routine refresh is an event of the audit, too. Each then costs an insert and a row."""
        return read_flag(self._dict, "AUDIT_REFRESHES", default=False)

    @property
    def METRICS_TOKEN(self) -> str | None:
        """The bearer token that opens `/oauth/metrics`. None: nothing is served there."""
        value = self._dict.get("METRICS_TOKEN")
        if value is None:
            return None
        if not isinstance(value, str) or not value:
            raise wrong("METRICS_TOKEN", type(value), "a long random string")
        return value

    @property
    def REDIRECT_SCHEMES(self) -> frozenset[str]:
        """Private-use schemes that registration accepts, such as `cursor`."""
        return frozenset(read_texts(self._dict, "REDIRECT_SCHEMES", REDIRECT_SCHEMES))

    @property
    def CORS_ORIGINS(self) -> frozenset[str]:
        """Browser origins besides ours and the MCP Inspector's."""
        return frozenset(read_texts(self._dict, "CORS_ORIGINS", ())) | {INSPECTOR_ORIGIN}

    @property
    def ENCRYPTION_KEYS(self) -> tuple[str, ...]:
        """Secrets for what must be replayed: the first encrypts, all decrypt. Default: SECRET_KEY, its fallbacks."""
        keys = read_texts(self._dict, "ENCRYPTION_KEYS", ())
        if not all(keys):
            raise wrong("ENCRYPTION_KEYS", "a list with an empty string", "a list of long random strings")
        own = (django_settings.SECRET_KEY, *django_settings.SECRET_KEY_FALLBACKS)
        return keys or tuple(str(key) for key in own)

    @property
    def VERIFICATION_CACHE(self) -> int:
        """Seconds for which a process takes a connection for alive without asking the database again. 0: it asks."""
        return self._seconds("VERIFICATION_CACHE", 0, least=0)

    @property
    def ADAPTER(self) -> type[Any]:
        """The class that holds every override, see `mcp_oidc.adapter.Adapter`."""
        path = self._dict.get("ADAPTER", "mcp_oidc.adapter.Adapter")
        if isinstance(path, type):
            return path
        try:
            adapter = import_string(path)
        except (ImportError, AttributeError, TypeError) as error:
            raise wrong("ADAPTER", path, f"the path of a class ({error})") from None
        if not isinstance(adapter, type):
            raise wrong("ADAPTER", path, "the path of a class")
        return adapter

    def scopes_for(self, resource: Resource) -> tuple[str, ...]:
        """Every scope that a token for `resource` may carry."""
        return tuple(dict.fromkeys([*OPENID_SCOPES, *self.SCOPES, *resource.every_scope]))

    def with_implied(self, scopes: Iterable[str]) -> tuple[str, ...]:
        """All that `scopes` allow: themselves, and what they imply."""
        return with_implied(scopes, self.IMPLIED_SCOPES)

    def resources(self, issuer: str) -> tuple[Resource, ...]:
        """The protected endpoints of the server whose issuer this is; a path belongs to the issuer's own origin."""
        return tuple(self._resource(key, options, issuer) for key, options in self.RESOURCES.items())

    def resource(self, key: str, issuer: str) -> Resource:
        """The endpoint that RESOURCES names by `key`."""
        try:
            return self._resource(key, self.RESOURCES[key], issuer)
        except KeyError:
            raise ImproperlyConfigured(
                f"{key!r} is not in MCP_OIDC['RESOURCES']. Add it: \"RESOURCES\": {{{key!r}: {{}}}}."
            ) from None

    def _resource(self, key: str, options: Mapping[str, Any], issuer: str) -> Resource:
        default = ("mcp",) if "mcp" in self.SCOPES else ()
        return make_resource(key, options, issuer=issuer, default_scopes=default)

    def _seconds(self, key: str, default: int, *, least: int = 1) -> int:
        return read_number(self._dict, key, default, least=least)


def _read_jwks(path: Path) -> str:
    try:
        stat = path.stat()
        return _read_once(path, stat.st_mtime_ns, stat.st_size)
    except (OSError, ValueError) as error:
        # The value is not repeated: what is no path may be a private key in a form that is not understood.
        raise ImproperlyConfigured(
            f"MCP_OIDC['JWKS'] must be a JWK Set as JSON text or dict, or the path of a file that can be read "
            f"({type(error).__name__})."
        ) from None


@lru_cache(maxsize=4)
def _read_once(path: Path, changed_at: int, size: int) -> str:
    # Each token that is verified asks for it.
    return path.read_text()


app_settings = Settings()
