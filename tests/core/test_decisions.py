"""Decisions: each is an event that names what it is about, and nothing secret."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.serializers import serialize
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext

from mcp_oidc import signals
from mcp_oidc.adapter import Adapter
from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.cleanup import delete_old_events
from mcp_oidc.core.clients import Registration, change_client, register
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.identities import sign_in
from mcp_oidc.core.issuing import RefreshRequest, redeem_code, refresh
from mcp_oidc.core.key_rotation import delete_expired_keys, replace_keys, save_key
from mcp_oidc.core.registrations import change_registration
from mcp_oidc.core.revocation import delete_client
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.errors import AccessDenied, InvalidGrant
from mcp_oidc.models import AbstractClient, Connection, Event, Identity, SigningKey
from mcp_oidc.protocol.jwks import generate_jwk
from tests.core.passing import let_pass
from tests.factories import ISSUER, RESOURCE, Opened, make_metadata, open_for
from tests.faults.leaks import leaked

pytestmark = pytest.mark.django_db

DAY = 24 * 60 * 60


def events(kind: Kind) -> list[Event]:
    return list(Event.objects.filter(kind=kind).order_by("pk"))


def refresh_with(token: str | None, client: AbstractClient, caller: Caller) -> TokenSet:
    request = RefreshRequest(refresh_token=str(token), scopes=(), resource=None)
    return refresh(request, client, issuer=ISSUER, caller=caller)


class Refusing(Adapter):
    """Lets nobody connect any more."""

    def authorize_connection(self, user: Any, client: Any, scopes: tuple[str, ...]) -> tuple[str, ...]:
        raise AccessDenied("not you")


@pytest.mark.requirement("audit")
def test_approval_tells_what_was_approved(opened: Opened) -> None:
    (event,) = events(Kind.CONNECTION_APPROVED)
    assert (event.reason, event.connection_id, event.client_name) == ("asked", opened.connection.pk, "Test client")
    assert event.detail == {"resource": RESOURCE, "scopes": "openid mcp notes:write"}


@pytest.mark.requirement("audit")
def test_what_is_remembered_is_told_once_and_again_when_it_is_wider(
    user: AbstractBaseUser, public_client: AbstractClient, caller: Caller
) -> None:
    for scopes in (("mcp",), ("mcp",), ("openid",), ("mcp", "openid")):
        remember_consent(
            user, public_client, redirect_uri="https://app.example", resource=RESOURCE, scopes=scopes, caller=caller
        )
    told = events(Kind.CONSENT_REMEMBERED)
    assert [event.detail["scopes"] for event in told] == ["mcp", "mcp openid"]
    assert {(event.user_id, event.client_id, event.address) for event in told} == {
        (user.pk, public_client.pk, caller.address)
    }


@pytest.mark.requirement("audit")
@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"code_verifier": "x" * 43}, "wrong_code_verifier"),
        ({"redirect_uri": "http://127.0.0.1:1/callback"}, "wrong_redirect_uri"),
    ],
)
def test_code_that_is_shown_by_somebody_else_is_told_of(
    opened: Opened, caller: Caller, change: dict[str, str], reason: str
) -> None:
    with pytest.raises(InvalidGrant):
        redeem_code(replace(opened.request, **change), opened.client, issuer=ISSUER, caller=caller)
    (event,) = events(Kind.CONNECTION_REFUSED)
    assert (event.reason, event.connection_id, event.address) == (reason, opened.connection.pk, caller.address)


@pytest.mark.requirement("audit")
def test_refusals_of_a_refresh_are_told_of(
    token_set: TokenSet, opened: Opened, confidential_client: Registration, caller: Caller, settings: LazySettings
) -> None:
    with pytest.raises(InvalidGrant):
        refresh_with(token_set.refresh_token, confidential_client.client, caller)
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": Refusing}
    with pytest.raises(InvalidGrant):
        refresh_with(token_set.refresh_token, opened.client, caller)
    assert [event.reason for event in events(Kind.CONNECTION_REFUSED)] == ["other_client", "refused_by_adapter"]


@pytest.mark.requirement("audit")
def test_a_thousand_tries_with_one_code_do_not_fill_the_audit(opened: Opened, caller: Caller) -> None:
    for _ in range(3):
        with pytest.raises(InvalidGrant):
            redeem_code(replace(opened.request, code_verifier="x" * 43), opened.client, issuer=ISSUER, caller=caller)
    assert len(events(Kind.CONNECTION_REFUSED)) == 1


def test_what_strangers_make_up_is_no_event(public_client: AbstractClient, caller: Caller) -> None:
    before = Event.objects.count()
    with pytest.raises(InvalidGrant):
        refresh_with("mcpr_nonsense", public_client, caller)
    assert Event.objects.count() == before


@pytest.mark.requirement("audit")
@pytest.mark.parametrize("policy", ["revoke", "refuse"])
def test_replay_is_told_of_whatever_it_does(
    opened: Opened, token_set: TokenSet, caller: Caller, settings: LazySettings, policy: str
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "REFRESH_TOKEN_REPLAY": policy}
    second = refresh_with(token_set.refresh_token, opened.client, caller)
    refresh_with(second.refresh_token, opened.client, caller)
    let_pass(60, opened.connection)
    with pytest.raises(InvalidGrant):
        refresh_with(token_set.refresh_token, opened.client, caller)
    assert [event.reason for event in events(Kind.CONNECTION_REPLAYED)] == ["refresh_token_replayed"]
    assert len(events(Kind.CONNECTION_REVOKED)) == (1 if policy == "revoke" else 0)


@pytest.mark.requirement("audit")
@pytest.mark.parametrize("wanted", [True, False])
def test_routine_refresh_is_an_event_where_a_setting_asks(
    opened: Opened, token_set: TokenSet, caller: Caller, settings: LazySettings, *, wanted: bool
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "AUDIT_REFRESHES": wanted}
    with CaptureQueriesContext(connection) as queries:
        refresh_with(token_set.refresh_token, opened.client, caller)
    assert len(events(Kind.CONNECTION_REFRESHED)) == wanted
    assert len([query for query in queries if query["sql"].startswith("INSERT")]) == wanted


@pytest.mark.django_db(transaction=True)
def test_refresh_and_its_event_are_one(
    opened: Opened, token_set: TokenSet, caller: Caller, settings: LazySettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: Any, **values: Any) -> None:
        raise RuntimeError("the event cannot be written")

    settings.MCP_OIDC = {**settings.MCP_OIDC, "AUDIT_REFRESHES": True}
    monkeypatch.setattr("mcp_oidc.core.audit.record", fail)
    with pytest.raises(RuntimeError):
        refresh_with(token_set.refresh_token, opened.client, caller)
    assert Connection.objects.get().generation == 1


@pytest.mark.requirement("audit")
def test_change_of_a_client_names_the_columns(public_client: AbstractClient, caller: Caller) -> None:
    public_client.serves = "/mcp"
    changed = make_metadata(client_name="Renamed", redirect_uris=["https://secret-project.example/cb"])
    change_client(public_client, changed, caller=Caller(operator="7"))
    (event,) = events(Kind.CLIENT_CHANGED)
    power = {"serves": "/mcp", "exchanges_tokens": False}
    names = ["host", "metadata", "name", "redirect_uris", "serves"]
    assert event.detail == {"changed": names, "operator": "7", **power}
    change_client(public_client, changed, caller=caller)
    assert events(Kind.CLIENT_CHANGED)[1].detail == {"changed": [], **power}


@pytest.mark.requirement("audit")
def test_account_that_a_first_login_makes_is_told_of(caller: Caller) -> None:
    for _ in range(2):
        identity = sign_in("upstream", "https://idp.example", {"sub": "1", "email": "jane@example.com"}, caller=caller)
    (event,) = events(Kind.USER_CREATED)
    assert (event.user_id, event.address) == (identity.user_id, caller.address)
    # Who it is, the provider's issuer aside, stands with the identity alone.
    assert event.detail == {"provider": "upstream", "issuer": "https://idp.example"}


@pytest.mark.requirement("audit")
def test_deleted_keys_are_told_of_once(signing_key: Any) -> None:
    replacement = generate_jwk("ES256")
    replace_keys(replacement)
    save_key(generate_jwk("ES256"))
    let_pass(30 * DAY, *SigningKey.objects.all())
    assert delete_expired_keys() == 1
    assert delete_expired_keys() == 0
    assert [event.detail for event in events(Kind.KEY_DELETED)] == [{"kid": replacement.kid}]


@pytest.mark.requirement("audit-retention")
@pytest.mark.parametrize(("lifetime", "left"), [({}, 2), ({"EVENT_LIFETIME": 60}, 1), ({"EVENT_LIFETIME": None}, 3)])
def test_old_events_are_deleted_where_a_setting_says_so(
    settings: LazySettings, lifetime: dict[str, int | None], left: int
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, **lifetime}
    for age in (0, 399 * DAY, 401 * DAY):
        record(Kind.LOGIN, Outcome.REFUSED, reason=str(age))
        let_pass(age, Event.objects.get(reason=str(age)))
    assert delete_old_events(batch_size=1) == 3 - left
    assert Event.objects.count() == left


def test_events_are_of_known_kinds_and_outcomes() -> None:
    with pytest.raises(ValueError, match="never revoked"):
        record(Kind.LOGIN, Outcome.REVOKED)
    assert not Event.objects.exists()


SIGNALS = [
    (signals.login_succeeded, Kind.LOGIN, Outcome.ALLOWED),
    (signals.login_refused, Kind.LOGIN, Outcome.REFUSED),
    (signals.client_registered, Kind.CLIENT_REGISTERED, Outcome.ALLOWED),
    (signals.connection_approved, Kind.CONNECTION_APPROVED, Outcome.ALLOWED),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("audit")
@pytest.mark.parametrize(("signal", "kind", "outcome"), SIGNALS, ids=[f"{row[1]} {row[2]}" for row in SIGNALS])
def test_signal_of_its_own_follows_the_commit(signal: Any, kind: Kind, outcome: Outcome) -> None:
    heard: list[tuple[str, str]] = []

    def hear(sender: Any, event: Event, **kwargs: Any) -> None:
        heard.append((event.kind, event.outcome))

    signal.connect(hear)
    try:
        with transaction.atomic():
            record(kind, outcome)
            record(Kind.LOGOUT, Outcome.REVOKED)
            assert heard == []
    finally:
        signal.disconnect(hear)
    assert heard == [(kind, outcome)]


LEVELS = [
    (Kind.LOGIN, Outcome.ALLOWED, "", logging.INFO),
    (Kind.LOGIN, Outcome.REFUSED, "", logging.WARNING),
    (Kind.CONSENT, Outcome.REFUSED, "", logging.INFO),
    (Kind.CONNECTION_REPLAYED, Outcome.REFUSED, "code_reused", logging.WARNING),
    (Kind.CONNECTION_REVOKED, Outcome.REVOKED, "user_request", logging.INFO),
    (Kind.CONNECTION_REVOKED, Outcome.REVOKED, "refresh_token_replayed", logging.WARNING),
    (Kind.KEY_COMPROMISED, Outcome.REVOKED, "", logging.WARNING),
]


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("audit")
def test_log_line_is_json_and_its_level_tells_what_to_look_at(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "mcp_oidc.audit"):
        for kind, outcome, reason, _ in LEVELS:
            record(kind, outcome, reason=reason, caller=Caller(address="192.0.2.7", operator="7"))
    lines = [line for line in caplog.records if line.name == "mcp_oidc.audit"]
    assert [line.levelno for line in lines] == [level for *_, level in LEVELS]
    names = ("event", "outcome", "reason", "user_id", "client_pk", "connection_id", "operator", "address")
    assert json.loads(json.dumps([vars(lines[0])[name] for name in names])) == [
        "login", "allowed", "", None, None, None, "7", "192.0.2.7",
    ]  # fmt: skip


@pytest.mark.requirement("audit-no-secrets")
def test_no_event_and_no_log_line_holds_a_secret(
    identity: Identity,
    signing_key: Any,
    caplog: pytest.LogCaptureFixture,
    django_capture_on_commit_callbacks: Callable[..., Any],
) -> None:
    caller = Caller(address="192.0.2.7", agent="tests/1.0")
    caplog.set_level(logging.DEBUG)
    with django_capture_on_commit_callbacks(execute=True):
        registered = register(make_metadata(token_endpoint_auth_method="client_secret_basic"), caller=caller)
        client = registered.client
        opened = open_for(client, identity, caller=caller, state="s" * 40)
        first = redeem_code(opened.request, client, issuer=ISSUER, caller=caller)
        second = refresh_with(first.refresh_token, client, caller)
        retried = refresh_with(first.refresh_token, client, caller)
        with pytest.raises(InvalidGrant):
            redeem_code(opened.request, client, issuer=ISSUER, caller=caller)
        updated = change_registration(client, make_metadata(client_name="Renamed"), caller=caller)
        delete_client(client, caller=caller)
    told = serialize("json", Event.objects.all()) + caplog.text + str([vars(line) for line in caplog.records])
    assert Kind.CONNECTION_REVOKED in told
    secrets = [opened.code, opened.verifier, "s" * 40, "n-0S6_WzA2Mj" * 2]
    for tokens in (first, second, retried):
        secrets += [tokens.access_token, str(tokens.refresh_token)]
    secrets += [str(first.id_token), str(registered.secret)]
    secrets += [str(registered.management_token), str(updated.management_token)]
    assert leaked(told.encode(), [secret.encode() for secret in secrets]) == []
