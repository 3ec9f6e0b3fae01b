"""Everything that revokes, each by HTTP or by what Django itself does: it bites at the next request, and is told of."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.management import call_command
from django.test import Client as Browser

from mcp_oidc import signals
from mcp_oidc.admin.users import end_connections
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import clients
from mcp_oidc.core.clients import register as register_client
from mcp_oidc.models import AbstractClient, ClientHost, Connection, Consent, Event, Identity
from tests.admin.pages import add_url, decide, delete_url, page_url
from tests.core.passing import let_pass
from tests.factories import REDIRECT_URI, make_metadata
from tests.server.authorizations import authorize_url, code_params, form_of, json_of, post_form, refresh_params, text_of
from tests.server.documents import APP, Web, make_document
from tests.server.grants import DEAD, UNKNOWN, Grant, grant
from tests.server.registrations import manage, register

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.server.urls_with_endpoint")]

HOST = "app.example"
DAY = 24 * 3600


@dataclass(frozen=True)
class World:
    """Alice and bob use one client, and bob another one besides."""

    alice: AbstractBaseUser
    browser: Browser
    admin: Browser
    registration: dict[str, Any]
    granted: Grant
    of_bob: Grant
    elsewhere: Grant
    # Alice's, behind her client's tokens and behind its code.
    connection: Connection
    waiting: Connection

    @property
    def client(self) -> AbstractClient:
        return self.granted.client


@pytest.fixture
def world(browser: Browser, user: AbstractBaseUser, admin_browser: Browser) -> World:
    bob = Browser(enforce_csrf_checks=True)
    bob.force_login(get_user_model().objects.create_user("bob"))
    registration = register(redirect_uris=[REDIRECT_URI, f"https://{HOST}/callback"])
    client = clients().get(client_id=registration["client_id"])
    other = register_client(make_metadata(client_name="Other"), caller=Caller()).client
    return World(
        alice=user,
        browser=browser,
        admin=admin_browser,
        registration=registration,
        granted=grant(browser, client),
        of_bob=grant(bob, client),
        elsewhere=grant(bob, other),
        connection=Connection.objects.get(user=user.pk, generation=1),
        waiting=Connection.objects.get(user=user.pk, generation=0),
    )


@pytest.fixture
def admin_browser(db: None) -> Browser:
    """The browser of an operator."""
    browser = Browser()
    browser.force_login(get_user_model().objects.create_superuser("root"))
    return browser


def press(world: World, **button: str) -> None:
    form = form_of(world.browser.get("/oauth/connections"))
    assert world.browser.post("/oauth/connections", {**form, **button}).status_code == 302


def operate(action: str, *rows_of: Callable[[World], Any]) -> Callable[[World], None]:
    """What an operator decides about rows in the admin."""

    def act(world: World) -> None:
        assert decide(world.admin, action, *(row_of(world) for row_of in rows_of)).status_code == 302

    return act


def block_host(world: World) -> None:
    answer = world.admin.post(add_url(ClientHost), {"host": HOST, "trust": "blocked"})
    assert answer.status_code == 302


def deactivate_in_admin(world: World) -> None:
    joined = {"date_joined_0": "2026-01-01", "date_joined_1": "12:00:00"}
    assert world.admin.post(page_url(world.alice), {"username": "alice", **joined}).status_code == 302


def deactivate(world: World) -> None:
    world.alice.is_active = False
    world.alice.save()


def revoke_tokens(kind: str) -> Callable[[World], None]:
    """What the client asks for (RFC 7009), with each of what it holds: the code is redeemed first."""

    def act(world: World) -> None:
        second = json_of(post_form("/token", code_params(world.client, world.granted.code)), 200)
        for tokens in (world.granted.tokens, second):
            form = {"client_id": world.client.client_id, "token": tokens[kind]}
            assert post_form("/token/revocation", form).status_code == 200

    return act


@dataclass(frozen=True)
class Way:
    """How something ends: `reason` of the event of each connection, and the kinds of the events besides."""

    act: Callable[[World], object]
    reason: str
    besides: tuple[str, ...] = ()
    # Whether bob's connections with the same client end as well.
    ends_client: bool = False
    as_told: tuple[int, str] = DEAD


WAYS = {
    "user: one app": Way(lambda world: press(world, app=world.client.client_id), "user_request", ("consent.revoked",)),
    "user: all apps": Way(lambda world: press(world, everything="yes"), "user_request", ("user.revoked",)),
    "admin: connections": Way(
        operate("revoke", lambda world: world.connection, lambda world: world.waiting), "revoked_by_admin"
    ),
    "admin: consent": Way(
        operate("withdraw", lambda world: Consent.objects.get(user=world.alice.pk)),
        "consent_revoked",
        ("consent.revoked",),
    ),
    "admin: access of a client": Way(
        operate("revoke_access", lambda world: world.client), "revoked_by_admin", ("client.revoked",), ends_client=True
    ),
    "admin: block of a client": Way(
        operate("block", lambda world: world.client),
        "client_blocked",
        ("client.blocked", "client.revoked"),
        ends_client=True,
        as_told=UNKNOWN,
    ),
    "admin: deletion of a client": Way(
        operate("delete", lambda world: world.client),
        "client_deleted",
        ("client.deleted", "client.revoked"),
        ends_client=True,
        as_told=UNKNOWN,
    ),
    "admin: block of a host": Way(block_host, "host_blocked", ("host.blocked",), ends_client=True, as_told=UNKNOWN),
    "admin: identity": Way(
        operate("end_connections", lambda world: Identity.objects.get(user=world.alice.pk)),
        "revoked_by_admin",
        ("user.revoked",),
    ),
    "admin: user": Way(operate("end_connections", lambda world: world.alice), "revoked_by_admin", ("user.revoked",)),
    "admin: user made inactive": Way(deactivate_in_admin, "user_inactive", ("user.changed", "user.revoked")),
    "admin: user deleted": Way(
        lambda world: world.admin.post(delete_url(world.alice), {"post": "yes"}), "user_deleted", ("user.deleted",)
    ),
    "Django: user made inactive": Way(deactivate, "user_inactive", ("user.revoked",)),
    "Django: user deleted": Way(lambda world: world.alice.delete(), "user_deleted", ("user.deleted",)),
    "Django: users deleted": Way(
        lambda world: get_user_model().objects.filter(username="alice").delete(), "user_deleted", ("user.deleted",)
    ),
    "client: access token": Way(revoke_tokens("access_token"), "client_request"),
    "client: refresh token": Way(revoke_tokens("refresh_token"), "client_request"),
    "client: registration": Way(
        lambda world: manage("DELETE", world.registration),
        "client_deleted",
        ("client.deleted", "client.revoked"),
        ends_client=True,
        as_told=UNKNOWN,
    ),
}


@pytest.fixture(autouse=True)
def user_admin(monkeypatch: pytest.MonkeyPatch) -> None:
    """The project's list of users has our action."""
    monkeypatch.setattr(admin.site.get_model_admin(get_user_model()), "actions", [end_connections])


@pytest.fixture
def heard() -> Iterator[list[Any]]:
    """The connections that receivers were told of, and why each of them ended."""
    told: list[Any] = []

    def hear(sender: Any, connection_id: Any, reason: str, **kwargs: Any) -> None:
        told.append((connection_id, reason))

    signals.connection_revoked.connect(hear)
    yield told
    signals.connection_revoked.disconnect(hear)


@pytest.mark.requirement("revocation-at-once")
@pytest.mark.requirement("revoked-once")
@pytest.mark.requirement("revoked-signal")
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_it_bites_at_the_next_request_and_is_told_of(world: World, way: Way, heard: list[Any]) -> None:
    told_before = list(Event.objects.values_list("pk", flat=True))
    who = {} if way.ends_client else {"user": world.alice.pk}
    ending = set(Connection.objects.filter(client=world.client, **who).values_list("pk", flat=True))
    assert len(ending) == (4 if way.ends_client else 2)
    way.act(world)
    world.granted.require_dead(as_told=way.as_told)
    if way.ends_client:
        world.of_bob.require_dead(as_told=way.as_told)
    else:
        world.of_bob.require_alive()
    world.elsewhere.require_alive()
    events = Event.objects.exclude(pk__in=told_before).exclude(kind__in=["connection.issued", "connection.approved"])
    revoked = [event for event in events if event.kind == "connection.revoked"]
    assert {(event.connection_id, event.reason) for event in revoked} == {(pk, way.reason) for pk in ending}
    assert len(revoked) == len(ending)
    assert sorted({event.kind for event in events} - {"connection.revoked"}) == sorted(way.besides)
    assert sorted(heard) == sorted((pk, way.reason) for pk in ending)


@pytest.mark.requirement("inactive-user")
@pytest.mark.requirement("user-inactive")
def test_user_of_whom_django_does_not_tell_is_refused_and_does_not_come_back(world: World) -> None:
    everybody = get_user_model().objects.filter(username="alice")
    everybody.update(is_active=False)
    world.granted.require_dead()
    everybody.update(is_active=True)
    world.granted.require_dead()
    events = Event.objects.filter(kind="connection.revoked")
    assert [event.reason for event in events] == ["user_inactive"] * 2
    world.of_bob.require_alive()


@pytest.mark.requirement("code-once")
@pytest.mark.requirement("revoked-signal")
def test_code_that_is_used_twice_is_told_of(world: World, heard: list[Any], caplog: pytest.LogCaptureFixture) -> None:
    tokens = json_of(post_form("/token", code_params(world.client, world.granted.code)), 200)
    with caplog.at_level(logging.INFO, "mcp_oidc"):
        again = post_form("/token", code_params(world.client, world.granted.code))
    assert json_of(again, 400)["error"] == "invalid_grant"
    assert json_of(post_form("/token", refresh_params(world.client, tokens)), 400)["error"] == "invalid_grant"
    assert heard == [(world.waiting.pk, "code_reused")]
    assert_told_of(world.waiting, "code_reused", caplog)
    assert "authorization code used twice" in caplog.text


@pytest.mark.requirement("refresh-replay")
@pytest.mark.requirement("revoked-signal")
def test_refresh_token_that_is_replayed_is_told_of(
    world: World, heard: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    newer = json_of(post_form("/token", refresh_params(world.client, world.granted.tokens)), 200)
    newest = json_of(post_form("/token", refresh_params(world.client, newer)), 200)
    let_pass(60, world.connection)
    with caplog.at_level(logging.INFO, "mcp_oidc"):
        replayed = post_form("/token", refresh_params(world.client, world.granted.tokens))
    assert json_of(replayed, 400)["error"] == "invalid_grant"
    assert json_of(post_form("/token", refresh_params(world.client, newest)), 400)["error"] == "invalid_grant"
    assert heard == [(world.connection.pk, "refresh_token_replayed")]
    assert_told_of(world.connection, "refresh_token_replayed", caplog)
    assert "superseded refresh token" in caplog.text


def assert_told_of(connection: Connection, reason: str, caplog: pytest.LogCaptureFixture) -> None:
    """Events of the replay and of its consequence with the caller, and lines in the log that name them and no token."""
    kinds = ["connection.replayed", "connection.revoked"]
    for kind in kinds:
        event = Event.objects.get(kind=kind)
        assert (event.connection_id, event.reason, event.address) == (connection.pk, reason, "127.0.0.1")
    lines = [vars(record) for record in caplog.records if record.name == "mcp_oidc.audit"]
    said = [(line["event"], line["reason"], line["connection_id"]) for line in lines]
    assert said == [(kind, reason, str(connection.pk)) for kind in kinds]


@pytest.mark.requirement("admin-tombstone")
def test_client_that_deleted_itself_is_not_known_again_however_much_time_passes(world: World) -> None:
    assert manage("DELETE", world.registration).status_code == 204
    assert not Consent.objects.filter(client=world.client).exists()
    for _ in range(3):
        let_pass(400 * DAY, clients().get(pk=world.client.pk), *Connection.objects.filter(client=world.client))
        call_command("mcp_oidc_cleanup", verbosity=0)
        world.granted.require_dead(as_told=UNKNOWN)
        page = world.browser.get(authorize_url(world.client))
        assert page.status_code == 400
        assert "does not know the app" in text_of(page)
    assert not Connection.objects.filter(client=world.client).exists()
    assert clients().get(pk=world.client.pk).deleted_at is not None
    assert register()["client_id"] != world.client.client_id


@pytest.mark.requirement("admin-tombstone")
def test_client_with_a_document_that_was_deleted_is_not_known_by_it_again(
    browser: Browser, admin_browser: Browser, web: Web
) -> None:
    web.published[APP] = make_document(redirect_uris=[REDIRECT_URI])
    granted = grant(browser, clients().model(client_id=APP))
    client = clients().get(client_id=APP)
    decide(admin_browser, "delete", client)
    for _ in range(3):
        granted.require_dead(as_told=UNKNOWN)
        assert browser.get(authorize_url(client)).status_code == 400
        let_pass(400 * DAY, client, *Connection.objects.all())
        call_command("mcp_oidc_cleanup", verbosity=0)
    assert web.fetched == [APP]
