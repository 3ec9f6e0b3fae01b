"""Whoever reads a dump of the database can use nothing of it."""

from __future__ import annotations

import secrets

import pytest

from mcp_oidc.protocol import pkce
from tests.faults.clients import McpClient, register
from tests.faults.dumps import check_dump, forms_of
from tests.faults.exchanges import Log
from tests.faults.leaks import leaked
from tests.faults.site import Site

METHODS = ("none", "client_secret_basic", "client_secret_post")


@pytest.mark.requirement("dump-holds-no-secret")
def test_dump_holds_nothing_of_what_clients_and_users_were_given(site: Site, log: Log) -> None:
    for user in ("alice", "bob"):
        keep_what_a_login_brings(site, log, user)
        for method in METHODS:
            live(McpClient(site, log, register(site, log, method=method), user=user))
    kinds = {"mcpc_", "mcpr_", "eyJ"}
    assert all(any(secret.startswith(kind) for secret in log.secrets) for kind in kinds)
    check_dump(site, log)


@pytest.mark.parametrize("form", range(5))
def test_secret_in_a_dump_would_be_found_in_any_form(form: int) -> None:
    secret = secrets.token_urlsafe(32)
    text = list(forms_of(secret))[form]
    assert leaked(b"INSERT INTO t VALUES ('" + text + b"');", forms_of(secret))
    assert not leaked(b"INSERT INTO t VALUES ('" + text[:-8] + b"');", forms_of(secret))


def keep_what_a_login_brings(site: Site, log: Log, user: str) -> None:
    """Seed tokens of the identity provider, a login session, and a login that is under way."""
    tokens = [secrets.token_urlsafe(48) for _ in range(3)]
    site.backstage.ask("keep_idp_tokens", user, *tokens)
    session = [secrets.token_hex(16) for _ in range(2)]
    site.backstage.ask("keep_login_session", user, *session)
    log.secrets.update(session)
    verifier = pkce.new_verifier()
    log.secrets.update(tokens, [verifier], site.backstage.ask("begin_upstream_login", secrets.token_hex(8), verifier))


def live(client: McpClient) -> None:
    """Everything that a client does, at both servers: some of it is refused, and some is the end of it."""
    here, there = client.site.servers
    for end in ("stay", "give back", "replay"):
        client.be_approved()
        assert client.log_in(here)
        client.renew(there)
        assert client.call(here) == 200
        if end == "give back":
            client.revoke(there)
        if end == "replay":
            client.send_code(there).read()
            client.is_revoked()
    client.send_refresh(here).read()
