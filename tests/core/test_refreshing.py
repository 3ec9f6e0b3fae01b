"""A refresh token: rotated at each use, given again to whoever lost the answer, and the end of a thief."""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, ClassVar

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import connection
from django.test import override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from mcp_oidc.adapter import Adapter
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import authenticate_client, register
from mcp_oidc.core.encryption import mac_keys
from mcp_oidc.core.issuing import RefreshRequest, redeem_code, refresh
from mcp_oidc.core.keys import forget_keys
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.core.verification import verify_access_token
from mcp_oidc.errors import AccessDenied, InvalidGrant, InvalidScope, InvalidTarget, InvalidToken
from mcp_oidc.models import AbstractClient, Connection, Event
from mcp_oidc.protocol.client_authentication import ClientCredentials
from mcp_oidc.protocol.opaque_tokens import Kind, make_token, parse_token
from tests.core.parallel import in_parallel
from tests.core.passing import let_pass
from tests.factories import ISSUER, RESOURCE, Opened, make_metadata

pytestmark = pytest.mark.django_db

GRACE = 60
RETRY = 86_400
STRAGGLER = 10
MONTH = 30 * 86_400


@dataclass
class Device:
    """A client on a device that holds a connection, and does as it is told."""

    opened: Opened
    caller: Caller
    first: TokenSet

    def refresh(self, tokens: TokenSet | str, *, scopes: tuple[str, ...] = (), **changes: Any) -> TokenSet:
        text = tokens if isinstance(tokens, str) else str(tokens.refresh_token)
        request = RefreshRequest(text, scopes, changes.get("resource"))
        client = changes.get("client", self.opened.client)
        return refresh(request, client, issuer=ISSUER, caller=self.caller)

    def call(self, tokens: TokenSet) -> None:
        """Use the access token at the resource."""
        verify_access_token(tokens.access_token, issuer=ISSUER, resource=RESOURCE)

    def let_pass(self, seconds: float) -> None:
        let_pass(seconds, self.row)

    @property
    def row(self) -> Connection:
        return Connection.objects.get(pk=self.opened.connection.pk)

    @property
    def is_revoked(self) -> bool:
        return self.row.revoked_at is not None


@pytest.fixture
def device(opened: Opened, caller: Caller) -> Device:
    return Device(opened, caller, redeem_code(opened.request, opened.client, issuer=ISSUER, caller=caller))


@pytest.mark.requirement("refresh-rotates")
def test_each_refresh_brings_a_new_pair(device: Device) -> None:
    tokens = [device.first]
    for generation in range(2, 6):
        tokens.append(device.refresh(tokens[-1]))
        assert device.row.generation == generation
        device.call(tokens[-1])
    assert len({each.refresh_token for each in tokens}) == len({each.access_token for each in tokens}) == 5
    assert all(each.id_token is None for each in tokens[1:])


def test_connection_slides_on_with_each_refresh(device: Device) -> None:
    device.let_pass(MONTH - 60)
    second = device.refresh(device.first)
    device.let_pass(MONTH - 60)
    assert device.refresh(second)


@pytest.mark.requirement("refresh-expiry")
def test_refresh_token_expires_when_it_is_not_used(device: Device) -> None:
    device.let_pass(MONTH + 1)
    with pytest.raises(InvalidGrant, match="expired"):
        device.refresh(device.first)
    assert not device.is_revoked


@pytest.mark.requirement("token-within-connection")
def test_access_token_ends_with_its_connection(device: Device, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "REFRESH_TOKEN_LIFETIME": 600}
    second = device.refresh(device.first)
    assert second.expires_in == 600
    device.let_pass(300)
    # The answer that is given again does not make the connection longer.
    again = device.refresh(device.first)
    assert 290 < again.expires_in <= 300
    device.call(again)
    device.let_pass(301)
    with pytest.raises(InvalidToken):
        device.call(again)


@pytest.mark.requirement("connection-max-age")
def test_connection_ends_at_its_greatest_age_however_much_it_is_used(
    opened: Opened, caller: Caller, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "CONNECTION_MAX_AGE": 7200}
    device = Device(opened, caller, redeem_code(opened.request, opened.client, issuer=ISSUER, caller=caller))
    device.let_pass(5400)
    second = device.refresh(device.first)
    # No access token outlives its connection.
    assert 1700 < second.expires_in <= 1800
    device.let_pass(1801)
    with pytest.raises(InvalidGrant, match="expired"):
        device.refresh(second)


@pytest.mark.requirement("refresh-retry")
@pytest.mark.parametrize("age", [0, STRAGGLER + 5, GRACE - 5])
def test_previous_token_gets_the_same_successor_in_the_grace_even_when_that_is_in_use(device: Device, age: int) -> None:
    second = device.refresh(device.first)
    device.call(second)
    device.let_pass(age)
    again = device.refresh(device.first)
    assert again.refresh_token == second.refresh_token
    assert device.row.generation == 2
    device.call(again)
    assert device.refresh(again)


@pytest.mark.requirement("refresh-retry")
@pytest.mark.parametrize("age", [GRACE + 5, 3600, RETRY - 5])
def test_lost_answer_is_given_again_while_its_tokens_are_unseen(device: Device, age: int) -> None:
    second = device.refresh(device.first)
    device.let_pass(age)
    assert device.refresh(device.first).refresh_token == second.refresh_token
    event = Event.objects.get(kind="connection.retried")
    assert (event.address, event.agent) == (device.caller.address, device.caller.agent)


@pytest.mark.requirement("refresh-replay")
@pytest.mark.requirement("replay-is-recorded")
@pytest.mark.parametrize("age", [GRACE + 1, RETRY])
def test_previous_token_ends_the_connection_once_its_successor_was_seen(device: Device, age: int) -> None:
    second = device.refresh(device.first)
    device.call(second)
    device.let_pass(age)
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert device.row.revoked_reason == "refresh_token_replayed"
    event = Event.objects.get(kind="connection.replayed", outcome="refused")
    assert (event.connection_id, event.address) == (device.row.pk, device.caller.address)
    with pytest.raises(InvalidGrant):
        device.refresh(second)


@pytest.mark.requirement("refresh-replay")
def test_previous_token_ends_the_connection_when_it_is_too_late_for_a_retry(device: Device) -> None:
    device.refresh(device.first)
    device.let_pass(RETRY + 1)
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert device.is_revoked


@pytest.mark.requirement("refresh-replay")
def test_older_token_ends_the_connection_and_all_its_tokens(device: Device) -> None:
    second = device.refresh(device.first)
    device.let_pass(STRAGGLER + 1)
    third = device.refresh(second)
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert device.row.revoked_reason == "refresh_token_replayed"
    for dead in (device.first, second, third):
        with pytest.raises(InvalidGrant):
            device.refresh(dead)
    event = Event.objects.get(kind="connection.revoked")
    assert (event.reason, event.address) == ("refresh_token_replayed", device.caller.address)


@pytest.mark.requirement("refresh-straggler")
def test_older_token_that_was_still_on_its_way_is_refused_and_no_more(device: Device) -> None:
    second = device.refresh(device.first)
    device.let_pass(STRAGGLER - 5)
    third = device.refresh(second)
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert not device.is_revoked
    assert device.refresh(third)
    # It was superseded more than ten seconds ago by then, whenever its successors were.
    device.let_pass(STRAGGLER)
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert device.is_revoked


def test_replay_only_refuses_where_the_setting_says_so(device: Device, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "REFRESH_TOKEN_REPLAY": "refuse"}
    second = device.refresh(device.first)
    device.let_pass(RETRY + 1)
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert device.refresh(second)
    assert [event.kind for event in Event.objects.filter(outcome__in=["refused", "revoked"])] == ["connection.replayed"]


def test_grace_and_retry_of_zero_take_each_token_once(device: Device, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "REFRESH_TOKEN_GRACE": 0, "REFRESH_TOKEN_RETRY": 0}
    second = device.refresh(device.first)
    device.let_pass(1)
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert not device.is_revoked
    assert device.refresh(second)


@pytest.mark.requirement("refresh-replay")
def test_thief_and_victim_cannot_share_a_connection(device: Device) -> None:
    # The thief has the token of the victim, and both go on refreshing as if nothing were.
    held = {"thief": device.first, "victim": device.first}

    def go_on() -> None:
        for who in ("thief", "victim"):
            device.let_pass(GRACE + 1)
            held[who] = device.refresh(held[who])
            device.call(held[who])

    with pytest.raises(InvalidGrant):
        go_on()
    assert device.is_revoked


@pytest.mark.requirement("restored-backup")
@pytest.mark.parametrize("lost", [1, 3])
def test_token_from_after_the_backup_moves_the_row_forward(device: Device, lost: int) -> None:
    backup = Connection.objects.values("generation", "seen_generation", "rotated_at", "previous_rotated_at").get()
    tokens = device.first
    for _ in range(lost):
        tokens = device.refresh(tokens)
        device.call(tokens)
    Connection.objects.update(**backup)
    newer = device.refresh(tokens)
    assert device.row.generation == lost + 2
    assert newer.refresh_token != tokens.refresh_token
    device.call(newer)
    # And then the usual rules hold again.
    assert device.refresh(tokens).refresh_token == newer.refresh_token
    assert device.refresh(newer)


@pytest.mark.requirement("restored-backup")
def test_access_token_from_after_the_backup_is_not_known(device: Device) -> None:
    second = device.refresh(device.first)
    Connection.objects.update(generation=1)
    with pytest.raises(Exception, match="not known any more"):
        device.call(second)


def test_token_of_another_client_harms_nobody(device: Device) -> None:
    other = register(make_metadata(), caller=device.caller).client
    second = device.refresh(device.first)
    device.let_pass(RETRY + 1)
    for tokens in (device.first, second):
        with pytest.raises(InvalidGrant):
            device.refresh(tokens, client=other)
    assert not device.is_revoked
    assert device.refresh(second)


@pytest.mark.parametrize("change", ["kind", "generation", "salt", "connection"])
def test_forged_token_is_refused_and_harms_nobody(device: Device, opened: Opened, change: str) -> None:
    row, key = device.row, mac_keys()[0]
    forged = {
        "kind": make_token(Kind.CODE, row.pk, 1, salt=row.salt, key=key),
        "generation": _with_generation(str(device.first.refresh_token), 2**40 - 1),
        "salt": make_token(Kind.REFRESH, row.pk, 1, salt="0" * 32, key=key),
        "connection": make_token(Kind.REFRESH, type(row.pk)(int=1), 1, salt=row.salt, key=key),
    }[change]
    with pytest.raises(InvalidGrant):
        device.refresh(forged)
    assert device.row.generation == 1
    assert device.refresh(device.first)


@pytest.mark.parametrize("text", ["", "garbage", "mcpr_", "mcpr_" + "A" * 76, "\0", "\u00e9", "eyJ.eyJ.AA"])
def test_garbage_is_an_invalid_grant(device: Device, text: str) -> None:
    with pytest.raises(InvalidGrant):
        device.refresh(text)


def test_resource_is_the_one_that_was_approved(device: Device) -> None:
    for resource in ("http://testserver/mcp/plain", RESOURCE + "/", ""):
        with pytest.raises(InvalidTarget):
            device.refresh(device.first, resource=resource)
    assert device.refresh(device.first, resource=RESOURCE)


@pytest.mark.requirement("scope-narrowing")
def test_narrower_scope_does_not_stick_and_keeps_what_the_resource_needs(device: Device) -> None:
    narrow = device.refresh(device.first, scopes=("openid",))
    assert narrow.scope == "openid mcp"
    full = device.refresh(narrow)
    assert full.scope == "openid mcp notes:write"


@pytest.mark.requirement("scope-narrowing")
@pytest.mark.parametrize("scopes", [("mcp", "admin"), ("email",), ("MCP",)])
def test_wider_scope_is_refused_and_uses_nothing_up(device: Device, scopes: tuple[str, ...]) -> None:
    with pytest.raises(InvalidScope):
        device.refresh(device.first, scopes=scopes)
    assert device.row.generation == 1
    assert device.refresh(device.first)


class Rights(Adapter):
    """A user may give less than before, or nothing at all."""

    allowed: ClassVar[frozenset[str] | None] = frozenset()

    def authorize_connection(self, user: AbstractBaseUser, client: Any, scopes: tuple[str, ...]) -> tuple[str, ...]:
        if self.allowed is None:
            raise AccessDenied("Not any more.")
        # An adapter that adds something gives nothing that was not approved.
        return (*(scope for scope in scopes if scope in self.allowed), "admin:all")


@pytest.mark.requirement("never-more-than-allowed")
def test_refresh_gives_what_the_user_may_still_give(
    device: Device, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": Rights}
    monkeypatch.setattr(Rights, "allowed", frozenset({"openid", "mcp"}))
    tokens = device.refresh(device.first)
    assert tokens.scope == "openid mcp"
    # To ask for what was approved is no mistake of the client's.
    assert device.refresh(tokens, scopes=("mcp", "notes:write")).scope == "mcp"
    monkeypatch.setattr(Rights, "allowed", frozenset({"openid", "mcp", "notes:write"}))
    assert device.refresh(tokens).scope == "openid mcp notes:write"


@pytest.mark.requirement("never-more-than-allowed")
def test_scope_that_left_the_settings_leaves_the_tokens(device: Device, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "SCOPES": {"mcp": "Use this MCP server as you"}}
    assert device.refresh(device.first).scope == "openid mcp"


@pytest.mark.requirement("scope-narrowing")
@pytest.mark.requirement("resource-implied-scopes")
def test_refresh_may_ask_for_what_the_approved_scope_implies(device: Device, settings: LazySettings) -> None:
    implied = {"notes:write": ["notes:read"], "notes:admin": ["notes:write"]}
    scopes = {"mcp": "Use it", "notes:write": "Write", "notes:read": "Read", "notes:admin": "All"}
    settings.MCP_OIDC = {**settings.MCP_OIDC, "SCOPES": scopes, "IMPLIED_SCOPES": implied}
    narrow = device.refresh(device.first, scopes=("notes:read",))
    assert narrow.scope == "notes:read mcp"
    # What was approved stays: neither narrowed nor spelled out.
    assert device.refresh(narrow).scope == "openid mcp notes:write"
    with pytest.raises(InvalidScope):
        device.refresh(narrow, scopes=("notes:admin",))


def test_adapter_may_leave_the_narrower_of_a_wider_scope(
    device: Device, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Demoted(Adapter):
        def authorize_connection(self, user: AbstractBaseUser, client: Any, scopes: tuple[str, ...]) -> tuple[str, ...]:
            return ("mcp", "notes:read", "admin:all")

    scopes = {"mcp": "Use it", "notes:write": "Write", "notes:read": "Read", "admin:all": "All"}
    implied = {"IMPLIED_SCOPES": {"notes:write": ["notes:read"]}, "SCOPES": scopes}
    settings.MCP_OIDC = {**settings.MCP_OIDC, **implied, "ADAPTER": Demoted}
    assert device.refresh(device.first).scope == "mcp notes:read"


def test_client_that_a_user_may_use_no_more_is_refused_and_keeps_its_token(
    device: Device, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Rights, "allowed", None)
    with override_settings(MCP_OIDC={**settings.MCP_OIDC, "ADAPTER": Rights}), pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert device.refresh(device.first)


@pytest.mark.requirement("inactive-user")
def test_inactive_user_gets_no_tokens_and_does_not_get_them_back(device: Device, user: AbstractBaseUser) -> None:
    # By a statement that sends no signal.
    type(user).objects.update(is_active=False)
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    type(user).objects.update(is_active=True)
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert Event.objects.filter(kind="connection.revoked", reason="user_inactive").count() == 1


def test_deleted_user_takes_their_connections_along(device: Device, user: AbstractBaseUser) -> None:
    user.delete()
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)


@pytest.mark.requirement("revocation-at-once")
def test_revoked_connection_refreshes_no_more(device: Device) -> None:
    revoke_connection(device.row.pk, "test")
    with pytest.raises(InvalidGrant, match="revoked: test"):
        device.refresh(device.first)


def test_revocation_between_reading_and_update_wins(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_oidc.core.issuing.note_use", lambda client: revoke_connection(device.row.pk, "test"))
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert device.row.generation == 1


@pytest.mark.requirement("refresh-parallel")
def test_request_that_slept_between_reading_and_update_moves_nothing_back(
    device: Device, monkeypatch: pytest.MonkeyPatch
) -> None:
    newest: list[TokenSet] = []

    def overtake(client: AbstractClient) -> None:
        monkeypatch.undo()
        newest.append(device.refresh(device.refresh(device.first)))

    monkeypatch.setattr("mcp_oidc.core.issuing.note_use", overtake)
    with pytest.raises(InvalidGrant, match="superseded"):
        device.refresh(device.first)
    assert (device.row.generation, device.is_revoked) == (3, False)
    assert device.refresh(newest[0])


def test_request_that_loses_every_race_gives_up(device: Device, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mcp_oidc.core.issuing.advance", lambda connection, generation: False)
    with pytest.raises(InvalidGrant, match="overtaken"):
        device.refresh(device.first)


@pytest.mark.requirement("key-rotation")
def test_secret_key_rotated_through_fallbacks_logs_nobody_out(device: Device, settings: LazySettings) -> None:
    old = settings.SECRET_KEY
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [old]
    forget_keys()
    second = device.refresh(device.first)
    device.call(second)
    # The successor is of the new key, so the old one can go.
    settings.SECRET_KEY_FALLBACKS = []
    with pytest.raises(InvalidGrant):
        device.refresh(device.first)
    assert not device.is_revoked
    token = parse_token(str(second.refresh_token))
    assert token is not None
    assert token.key_id == mac_keys()[0].key_id


@pytest.mark.requirement("few-statements")
def test_refresh_takes_few_statements(device: Device) -> None:
    credentials = ClientCredentials(device.opened.client.client_id, None, "none")
    with CaptureQueriesContext(connection) as queries:
        client = authenticate_client(credentials)
        device.refresh(device.first, client=client)
    # Client, connection, rotation.
    assert len(queries) == 3, [query["sql"] for query in queries]


def test_rows_do_not_grow_with_refreshes(device: Device) -> None:
    before = (Connection.objects.count(), Event.objects.count())
    tokens = device.first
    for _ in range(10):
        tokens = device.refresh(tokens)
    assert (Connection.objects.count(), Event.objects.count()) == before


def test_times_of_the_last_two_rotations_are_kept_in_order(device: Device) -> None:
    second = device.refresh(device.first)
    device.let_pass(100)
    device.refresh(second)
    row = device.row
    assert row.rotated_at is not None
    assert row.previous_rotated_at is not None
    assert timedelta(seconds=99) < row.rotated_at - row.previous_rotated_at < timedelta(seconds=110)
    assert timezone.now() - row.rotated_at < timedelta(seconds=10)


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("refresh-parallel")
@pytest.mark.parametrize("at_once", [False, True], ids=["as they come", "all read the same generation"])
def test_eight_refreshes_at_once_get_the_same_successor(
    device: Device, monkeypatch: pytest.MonkeyPatch, at_once: bool
) -> None:
    if at_once:
        monkeypatch.setattr("mcp_oidc.core.issuing.note_use", _meet_once(threading.Barrier(8)))
    results = in_parallel(lambda: device.refresh(device.first))
    monkeypatch.undo()
    assert len({result.refresh_token for result in results}) == 1
    assert device.row.generation == 2
    assert not device.is_revoked
    for result in results:
        device.call(result)
    assert device.refresh(results[0])


def _meet_once(barrier: threading.Barrier) -> Callable[[AbstractClient], None]:
    """Wait for the others after the first reading, but not when the row is read again."""
    seen = threading.local()

    def meet(client: AbstractClient) -> None:
        if not getattr(seen, "met", False):
            seen.met = True
            barrier.wait(timeout=30)

    return meet


def _with_generation(text: str, generation: int) -> str:
    """The token with another generation written into it, and its MAC left as it was."""
    raw = base64.urlsafe_b64decode(text[5:])
    return text[:5] + base64.urlsafe_b64encode(raw[:20] + generation.to_bytes(5) + raw[25:]).decode()
