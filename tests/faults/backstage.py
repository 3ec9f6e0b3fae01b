"""What happens behind the servers: users approve, operators look at rows. A process with the settings of the site.

Each line on stdin is a JSON list of a command's name and its arguments; the answer is a JSON list of what it returned
and of the traceback if it failed. Every function with `@command` is one.
"""

from __future__ import annotations

import json
import sys
import traceback
import uuid
from collections.abc import Callable
from datetime import timedelta
from io import StringIO
from typing import Any

import django

django.setup()

# Only now: these use models, which the line above has loaded.
from django.contrib.auth import get_user_model  # noqa: E402
from django.core.management import call_command  # noqa: E402
from django.db import connection  # noqa: E402
from django.db.backends.utils import CursorWrapper  # noqa: E402
from django.db.models import F  # noqa: E402
from django.test import Client as Browser  # noqa: E402
from django.utils import timezone  # noqa: E402

from mcp_oidc.conf import app_settings, configured_issuer  # noqa: E402
from mcp_oidc.core.audit import Caller  # noqa: E402
from mcp_oidc.core.clients import clients  # noqa: E402
from mcp_oidc.core.encryption import mac_keys  # noqa: E402
from mcp_oidc.core.identities import local_identity, sign_in  # noqa: E402
from mcp_oidc.core.issuing import RefreshRequest, refresh  # noqa: E402
from mcp_oidc.core.logins import PendingLogin, begin_login  # noqa: E402
from mcp_oidc.core.revocation import revoke_connection  # noqa: E402
from mcp_oidc.core.sessions import DjangoSession, open_session  # noqa: E402
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens, read_tokens  # noqa: E402
from mcp_oidc.models import Connection, Event, HourlyCount, Identity, SigningKey  # noqa: E402
from mcp_oidc.protocol.opaque_tokens import Kind, make_token  # noqa: E402
from tests.factories import open_for  # noqa: E402

Command = Callable[..., Any]
COMMANDS: dict[str, Command] = {}
UPSTREAM = "upstream"
CALLER = Caller(address="192.0.2.7", agent="faults/1.0")


def command(do: Command) -> Command:
    """Let `do` be asked for by its name."""
    COMMANDS[do.__name__] = do
    return do


@command
def migrate() -> None:
    """Make the tables."""
    call_command("migrate", verbosity=0)


@command
def manage(*arguments: str) -> None:
    """Run a management command."""
    call_command(*arguments, stdout=StringIO())


@command
def approve(client_id: str, resource: str, user: str) -> dict[str, str]:
    """A new connection of the client that the user approved: what the client holds then."""
    client = clients().get(client_id=client_id)
    scope = "openid mcp"
    opened = open_for(client, _identity_of(user), caller=CALLER, resource=resource, scope=scope)
    return {"code": opened.code, "verifier": opened.verifier, "connection": str(opened.connection.pk)}


@command
def log_in(user: str) -> dict[str, str]:
    """The cookies of a browser in which the user has logged in."""
    browser = Browser()
    browser.force_login(_identity_of(user).user)
    return {name: cookie.value for name, cookie in browser.cookies.items()}


@command
def contradictions() -> list[str]:
    """Connections that say one thing while their events say another, or that contradict themselves. There are none."""
    told: dict[tuple[Any, str], list[str]] = {}
    for pk, kind, reason in Event.objects.values_list("connection_id", "kind", "reason"):
        told.setdefault((pk, kind), []).append(reason)
    found = [text for row in Connection.objects.all() for text in _contradictions_of(row, told)]
    known = set(Connection.objects.values_list("pk", flat=True))
    strays = {pk for pk, _ in told if pk is not None and pk not in known}
    return [*found, *(f"events of {pk}, which does not exist" for pk in strays)]


def _contradictions_of(row: Connection, told: dict[tuple[Any, str], list[str]]) -> list[str]:
    lifetime = timedelta(seconds=app_settings.REFRESH_TOKEN_LIFETIME)
    holds = {
        "approved once": len(told.get((row.pk, "connection.approved"), ())) == 1,
        "issued once if its code was used, else never": (
            len(told.get((row.pk, "connection.issued"), ())) == (row.generation > 0)
        ),
        "revoked for the reason that its event names": (
            told.get((row.pk, "connection.revoked"), []) == ([row.revoked_reason] if row.revoked_at else [])
        ),
        "rotated if its code was used": (row.rotated_at is not None) == (row.generation > 0),
        "rotated before if it was refreshed": (row.previous_rotated_at is not None) == (row.generation > 1),
        "seen no further than it was issued": row.seen_generation <= row.generation,
        "to be cleaned up one day": row.expires_at <= row.last_used_at + lifetime,
    }
    return [f"{row.pk} of generation {row.generation} is not {what}" for what, is_so in holds.items() if not is_so]


@command
def connections_of(*pks: str) -> list[dict[str, Any]]:
    """Generation and reason of revocation of connections, in the order in which they were asked for."""
    found = Connection.objects.in_bulk(pks)
    rows = [found[uuid.UUID(pk)] for pk in pks]
    return [{"generation": row.generation, "revoked": row.revoked_reason} for row in rows]


@command
def revoke(connection_id: str) -> bool:
    """End a connection, as an operator does."""
    return revoke_connection(uuid.UUID(connection_id), "operator", caller=CALLER)


@command
def age_keys(seconds: int) -> None:
    """Let the signing keys be so much older."""
    SigningKey.objects.update(activates_at=F("activates_at") - timedelta(seconds=seconds))


@command
def keep_idp_tokens(user: str, access_token: str, id_token: str, refresh_token: str) -> None:
    """Keep tokens of the identity provider, as a login does."""
    keep_tokens(_identity_of(user), IdpTokens(access_token, id_token, refresh_token))


@command
def keep_expired_login(user: str, issuer: str, refresh_token: str) -> None:
    """Keep a login at the identity provider whose access token has expired since."""
    identity = sign_in(UPSTREAM, issuer, {"sub": user}, caller=CALLER)
    expired = timezone.now() - timedelta(seconds=1)
    keep_tokens(identity, IdpTokens("expired", refresh_token=refresh_token, expires_at=expired))


@command
def idp_refresh_token(user: str) -> str | None:
    """The refresh token of the identity provider that is kept."""
    return read_tokens(_identity_of(user).pk).tokens.refresh_token


@command
def begin_upstream_login(nonce: str, code_verifier: str) -> list[str]:
    """Begin a login at the identity provider. Returns the secrets that the browser and the provider hold then."""
    ticket = begin_login(PendingLogin(UPSTREAM, nonce, code_verifier, "/", None))
    return [ticket.state, ticket.browser_secret]


@command
def keep_login_session(user: str, session_key: str, sid: str) -> None:
    """Keep a login at the identity provider, as a browser has one after it."""
    browser = DjangoSession(session_key, lifetime=3600)
    open_session(_identity_of(user), browser, authenticated_at=timezone.now(), sid=sid, replaces=None)


@command
def row_counts() -> dict[str, int]:
    """How many rows each table holds, but for tallies, which grow by the hour."""
    tables = [name for name in connection.introspection.table_names() if name != HourlyCount._meta.db_table]
    with connection.cursor() as cursor:
        return {table: _count(cursor, table) for table in tables}


@command
def refresh_often(client_id: str, refresh_token: str, times: int) -> str:
    """Refresh a connection that often, each time with the token that came last. Returns the last one."""
    client = clients().get(client_id=client_id)
    issuer = configured_issuer()
    for _ in range(times):
        tokens = refresh(RefreshRequest(refresh_token, (), None), client, issuer=issuer, caller=CALLER)
        refresh_token = str(tokens.refresh_token)
    return refresh_token


@command
def skip_to(connection_id: str, generation: int) -> str:
    """Make a connection one that has been refreshed that often. Returns its refresh token."""
    rows = Connection.objects.filter(pk=connection_id)
    rows.update(generation=generation, previous_rotated_at=F("rotated_at"))
    row = rows.get()
    return make_token(Kind.REFRESH, row.pk, generation, salt=row.salt, key=mac_keys()[0])


def _count(cursor: CursorWrapper, table: str) -> int:
    cursor.execute(f"SELECT COUNT(*) FROM {connection.ops.quote_name(table)}")  # noqa: S608  # names of tables
    return int(cursor.fetchone()[0])


def _identity_of(user: str) -> Identity:
    at_provider = Identity.objects.filter(provider=UPSTREAM, sub=user).first()
    if at_provider is not None:
        return at_provider
    found, _ = get_user_model().objects.get_or_create(username=user)
    return local_identity(found)


def _answer(line: str) -> list[Any]:
    name, *arguments = json.loads(line)
    try:
        return [COMMANDS[name](*arguments), None]
    except Exception:  # noqa: BLE001  # it fails where it was asked for
        # Whatever it was, the next command gets a connection that works.
        connection.close()
        return [None, traceback.format_exc()]


def main() -> None:
    for line in sys.stdin:
        print(json.dumps(_answer(line), default=str), flush=True)  # noqa: T201  # the answer


if __name__ == "__main__":
    main()
