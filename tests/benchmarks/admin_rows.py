"""A database as a big site has it after a year: rows of one kind are multiplied from one that core has written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.models import User
from django.db import connection

from mcp_oidc.core.audit import NOBODY
from mcp_oidc.core.client_hosts import block_host
from mcp_oidc.core.clients import register
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.key_rotation import save_key
from mcp_oidc.core.sessions import DjangoSession, open_session
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.models import (
    Client,
    ClientHost,
    Connection,
    Consent,
    Event,
    Identity,
    IdpTokenSet,
    LoginSession,
    SigningKey,
)
from mcp_oidc.protocol.jwks import generate_jwk
from tests.factories import REDIRECT_URI, RESOURCE, make_metadata, open_for


@dataclass(frozen=True)
class Sizes:
    """How many rows of each kind there are, on top of the first."""

    clients: int = 100_000
    connections: int = 300_000
    events: int = 1_000_000
    users: int = 100_000


def fill(sizes: Sizes) -> None:
    """Write all rows. A third of the connections, and of the events, are those of one client that everybody has."""
    first = _first_rows()
    with connection.cursor() as cursor:
        # What is multiplied refers to rows that are there; checking each of them takes minutes.
        cursor.execute("SET session_replication_role = replica")
    _multiply(first[User], sizes.users, username="'user-' || i", email="'user-' || i || '@example.com'")
    user = _any_of("auth_user", sizes.users)
    _multiply(
        first[Identity],
        sizes.users,
        user_id=f"{first[User].pk} + i",
        subject="gen_random_uuid()",
        sub="'auth0|' || i",
        fingerprint="md5('identity' || i)",
        last_login_at="now() - random() * interval '90 days'",
    )
    _multiply(
        first[Client],
        sizes.clients,
        name="'App ' || i",
        client_id="md5('client' || i)",
        redirect_uris=(
            "CASE i % 3 WHEN 0 THEN 'http://127.0.0.1:' || (1024 + i % 60000) || '/callback'"
            " WHEN 1 THEN 'https://app-' || i || '.example.com/callback' ELSE 'cursor://app-' || i || '/callback' END"
        ),
        host="CASE i % 3 WHEN 1 THEN 'app-' || i || '.example.com' ELSE '' END",
        trust="CASE i % 1000 WHEN 0 THEN 'blocked' WHEN 1 THEN 'trusted' ELSE '' END",
        created="now() - random() * interval '365 days'",
        last_used_at="CASE i % 4 WHEN 0 THEN NULL ELSE now() - random() * interval '90 days' END",
        deleted_at="CASE i % 20 WHEN 0 THEN now() ELSE NULL END",
    )
    client = _any_of(Client._meta.db_table, sizes.clients)
    client = f"CASE i % 3 WHEN 0 THEN {first[Client].pk} ELSE {client} END"
    _multiply(
        first[Connection],
        sizes.connections,
        id="gen_random_uuid()",
        client_id=client,
        user_id=user,
        identity_id=f"{first[Identity].pk} + (i % {sizes.users})",
        created_at="now() - random() * interval '365 days'",
        last_used_at="now() - random() * interval '30 days'",
        expires_at="now() + (random() - 0.3) * interval '30 days'",
        revoked_at="CASE i % 2 WHEN 0 THEN now() - random() * interval '300 days' ELSE NULL END",
        revoked_reason="CASE i % 2 WHEN 0 THEN 'user_request' ELSE '' END",
    )
    _multiply(
        first[Consent],
        sizes.users,
        client_id=client,
        user_id=f"{first[User].pk} + i",
        fingerprint="md5('consent' || i)",
    )
    of_identity = f"{first[Identity].pk} + i"
    _multiply(first[IdpTokenSet], sizes.users // 2, identity_id=of_identity)
    _multiply(first[LoginSession], sizes.users // 2, identity_id=of_identity, idp_session="md5('session' || i)")
    _multiply(first[ClientHost], 1000, host="'host-' || i || '.example'")
    _multiply(first[SigningKey], 4, kid="'key-' || i", follows="'key-' || (i - 1)")
    kinds = "ARRAY['login','connection.opened','connection.revoked','consent.given','client.registered']"
    outcomes = "ARRAY['allowed','allowed','revoked','allowed','refused']"
    _multiply(
        first[Event],
        sizes.events,
        created_at=f"now() - interval '1 year' * ({sizes.events} - i) / {sizes.events}",
        kind=f"({kinds})[1 + i % 5]",
        outcome=f"({outcomes})[1 + i % 5]",
        user_id=user,
        client_id=client,
        connection_id="gen_random_uuid()",
        address="('10.' || i % 250 || '.' || i / 250 % 250 || '.1')::inet",
    )
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE")


def _first_rows() -> dict[type[Any], Any]:
    user = get_user_model().objects.create_user("user-0", "user-0@example.com")
    identity = local_identity(user)
    client = register(make_metadata(client_name="Everybody's app"), caller=NOBODY).client
    opened = open_for(client, identity, caller=NOBODY)
    remember_consent(user, client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    keep_tokens(identity, IdpTokens(access_token="a", refresh_token="r"))
    session = DjangoSession(key="k", lifetime=30 * 24 * 60 * 60)
    open_session(identity, session, authenticated_at=opened.connection.created_at, sid="s", replaces=None)
    block_host("host-0.example", caller=NOBODY)
    save_key(generate_jwk("ES256"))
    kinds = (User, Identity, Client, Connection, Consent, IdpTokenSet, LoginSession, ClientHost, SigningKey, Event)
    return {kind: kind._default_manager.first() for kind in kinds}


def _multiply(row: Any, count: int, **changes: str) -> None:
    """Insert `count` copies of a row. `changes`: columns as SQL, in which `i` counts from 1."""
    table, key = row._meta.db_table, row._meta.pk.column
    columns = [field.column for field in row._meta.concrete_fields if field.column != key or key in changes]
    values = [f"({changes[column]})" if column in changes else f't."{column}"' for column in columns]
    names = ", ".join(f'"{column}"' for column in columns)
    source = f'"{table}" t, generate_series(1, {count}) i WHERE t."{key}" = \'{row.pk}\''
    with connection.cursor() as cursor, _without_indexes(cursor, table):
        cursor.execute(f'INSERT INTO "{table}" ({names}) SELECT {", ".join(values)} FROM {source}')  # noqa: S608


@contextmanager
def _without_indexes(cursor: Any, table: str) -> Iterator[None]:
    """Drop the indexes of a table that enforce nothing, and build them again afterwards."""
    enforcing = "SELECT 1 FROM pg_constraint WHERE conindid = indexrelid"
    query = "SELECT indexrelid::regclass::text, pg_get_indexdef(indexrelid) FROM pg_index WHERE indrelid = %s::regclass"
    cursor.execute(f"{query} AND NOT indisprimary AND NOT EXISTS ({enforcing})", [f'"{table}"'])
    indexes = cursor.fetchall()
    for name, _ in indexes:
        cursor.execute(f"DROP INDEX {name}")
    yield
    for _, definition in indexes:
        cursor.execute(definition)


def _any_of(table: str, count: int) -> str:
    """SQL for the key of any row of a table that counts its keys from 1."""
    return f'(SELECT min(id) FROM "{table}") + floor(random() * {count})::int'  # noqa: S608
