"""Thirty days of fifty clients: nobody is logged out without a reason, and what is taken away is gone at once.

SIMULATION_SEED draws other days than the usual ones.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from io import StringIO

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.core.management import call_command
from django.test import Client as Browser
from django.utils import timezone

from mcp_oidc.core.clock import Now
from mcp_oidc.models import Connection, Event, IdpTokenSet, SigningKey, UsedAssertion
from mcp_oidc.upstream import documents
from tests.clock import controllable_clock
from tests.idp_server import running_idp
from tests.journeys.simulation.credentials import publish_documents
from tests.journeys.simulation.devices import Device, Stranded
from tests.journeys.simulation.habits import DAY, EIGHT, FIFTY, MINUTE, Habit
from tests.journeys.simulation.operators import Operators
from tests.journeys.simulation.revocations import REVOCATIONS, Revocation, Scene, require
from tests.journeys.simulation.server import running_server
from tests.journeys.simulation.world import World
from tests.upstream.browser import Browser as LoginBrowser
from tests.upstream.browser import configure_upstream

pytestmark = pytest.mark.django_db(transaction=True)

logger = logging.getLogger(__name__)

SEED = int(os.environ.get("SIMULATION_SEED", "4"))
USERS = tuple(f"user-{number}" for number in range(14))

# A simulation in which one of them does not happen proves less than it says.
HAPPENINGS = {
    *("calls", "refreshes", "expired access tokens", "lost answers", "retries"),
    *("parallel refreshes", "late parallel refreshes", "calls during an outage"),
    *("restarts", "cleanups", "key rotations", "rotations of SECRET_KEY", "outages"),
}


@pytest.fixture
def world(settings: LazySettings) -> Iterator[World]:
    settings.ROOT_URLCONF = "tests.journeys.simulation.urls"
    settings.OAUTH2_PROVIDER = {"CIMD_METADATA_FETCHER": "tests.server.documents.Web"}
    publish_documents()
    users = {name: {"name": name.title(), "preferred_username": name} for name in USERS}
    with ExitStack() as stack:
        clock = stack.enter_context(controllable_clock())
        idp = stack.enter_context(running_idp(users=users, algorithm="ES256", rotates=True, expires_in=1800))
        configure_upstream(settings, idp.upstream)
        yield World(clock, stack.enter_context(running_server()), idp, SEED)


@pytest.fixture
def operators(world: World, settings: LazySettings) -> Operators:
    return Operators(world, settings)


@pytest.mark.requirement("thirty-days")
def test_three_days(world: World, operators: Operators) -> None:
    # Until every kind of key was rotated once.
    devices = connect(world, EIGHT)
    live(devices, operators, days=3)
    assert {"key rotations", "rotations of SECRET_KEY", "outages"} <= set(world.counts)
    require_all_alive(devices)
    require_no_growth(devices, operators)


@pytest.mark.long
@pytest.mark.requirement("thirty-days")
@pytest.mark.requirement("revocation-every-kind")
def test_thirty_days(world: World, operators: Operators) -> None:
    devices = connect(world, FIFTY)
    live(devices, operators, days=30)
    require_all_alive(devices)
    require_no_growth(devices, operators)
    assert set(world.counts) >= HAPPENINGS
    revoke_one_after_the_other(world, devices)


@pytest.mark.requirement("revocation-every-kind")
def test_whatever_is_revoked_is_gone_at_the_next_request(world: World) -> None:
    # Every other one: the kinds that the revocations need are among them.
    revoke_one_after_the_other(world, connect(world, FIFTY[::2]))


def test_a_client_that_may_not_retry_does_not_go_unnoticed(
    world: World, operators: Operators, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "REFRESH_TOKEN_GRACE": 0, "REFRESH_TOKEN_RETRY": 0}
    with pytest.raises(Stranded, match=r"gets 400.*invalid_grant"):
        live(connect(world, EIGHT), operators, days=5)


@pytest.mark.long
def test_a_signing_key_that_goes_too_early_does_not_go_unnoticed(world: World, settings: LazySettings) -> None:
    class Hasty(Operators):
        days_between_keys = 0.3

        def rotate_keys(self) -> None:
            call_command("mcp_oidc_rotate_keys", "--compromised", "--alg", "ES256", stdout=StringIO())

    with pytest.raises(Stranded, match=r"calls .* gets 401"):
        live(connect(world, EIGHT), Hasty(world, settings), days=5)


@pytest.mark.long
def test_a_secret_key_without_fallbacks_does_not_go_unnoticed(world: World, settings: LazySettings) -> None:
    class Careless(Operators):
        def rotate_secret(self) -> None:
            self.settings.SECRET_KEY = "another " + "k" * 50
            call_command("mcp_oidc_rotate_keys", "--now", stdout=StringIO())

    with pytest.raises(Stranded, match=r"gets 400.*invalid_grant"):
        live(connect(world, EIGHT), Careless(world, settings), days=5)


def test_all_clocks_go_together(world: World) -> None:
    get_user_model().objects.create_user("somebody")

    def read() -> list[float]:
        row = get_user_model().objects.annotate(now=Now()).get()
        moments = (row.now.timestamp(), timezone.now().timestamp(), time.time())
        return [*moments, time.monotonic(), documents.monotonic(), world.clock.elapsed]

    for days in (0.5, 29):
        before = read()
        world.clock.advance(days * DAY)
        passed = [after - earlier for after, earlier in zip(read(), before, strict=True)]
        assert passed == pytest.approx([days * DAY] * len(passed), abs=30)
    assert abs(read()[0] - read()[1]) < 30


def test_a_restart_forgets_what_the_process_knew(world: World) -> None:
    [device] = connect(world, EIGHT[:1])
    SigningKey.objects.all().delete()
    fetched = world.idp.requests["discovery"]
    world.server.restart()
    require(device.call(), 401)
    LoginBrowser(world.idp).begin()
    assert world.idp.requests["discovery"] == fetched + 1


def connect(world: World, habits: tuple[Habit, ...]) -> list[Device]:
    """Let every user log in once, and connect their clients."""
    devices = [Device(habit, USERS[number % len(USERS)], world) for number, habit in enumerate(habits)]
    for user in dict.fromkeys(device.user for device in devices):
        browser = LoginBrowser(world.idp)
        require(browser.log_in(user), 302)
        for device in devices:
            if device.user == user:
                device.connect(browser.client)
    return devices


def live(devices: list[Device], operators: Operators, *, days: int) -> None:
    """Let time pass for the clients and those who look after the server."""
    world = operators.world
    for device in devices:
        world.plan(device.turn, after=device.first_pause)
    operators.begin()
    world.run(until=days * DAY)
    operators.end()
    # Until failures are not remembered any more.
    world.let_pass(MINUTE)
    logger.info("%s days: %s", days, dict(world.counts))


def require_all_alive(devices: list[Device]) -> None:
    """Nobody has to log in, however long they were away."""
    for device in devices:
        device.renew()
        require(device.call(), 200)


def require_no_growth(devices: list[Device], operators: Operators) -> None:
    """However often they refreshed, the database holds no more than when they began."""
    operators.world.let_pass(DAY)
    operators.clean_up()
    rows = {
        model.__name__: model.objects.count() for model in (Connection, IdpTokenSet, SigningKey, UsedAssertion, Event)
    }
    logger.info("rows: %s", rows)
    assert Connection.objects.count() == len(devices)
    assert IdpTokenSet.objects.count() == len({device.user for device in devices})
    assert SigningKey.objects.count() <= 2
    assert not UsedAssertion.objects.exists()
    # What was decided is kept, and every retry; a routine refresh is neither.
    events = Event.objects.exclude(kind="connection.retried")
    assert events.count() < 10 * len(devices)
    assert not events.filter(outcome="revoked").exclude(kind="key.deleted").exists()


def revoke_one_after_the_other(world: World, devices: list[Device]) -> None:
    """Take access away in every way there is, each time from somebody who has it still."""
    operator = Browser()
    operator.force_login(get_user_model().objects.create_superuser("root", password="a long password"))
    for revocation in REVOCATIONS:
        victim = next(device for device in devices if revocation.fits(device))
        devices = revoke(revocation, Scene(world, operator, victim), devices)
    require_all_alive(devices)


def revoke(revocation: Revocation, scene: Scene, devices: list[Device]) -> list[Device]:
    """Take access away, and see that it is gone at the next request, and that of nobody else. Who is left."""
    ended = [device for device in devices if revocation.ends(scene.victim, device)]
    left = [device for device in devices if device not in ended]
    for device in devices:
        device.freshen(seconds=45 * MINUTE)
    for device in ended:
        require(device.call(), 200)
    revocation.revoke(scene)
    for device in ended:
        called, refreshed = device.call(), device.present(device.tokens.refresh_token)
        assert called.status_code == 401, f"{revocation.name}: {device} goes on"
        assert 'error="invalid_token"' in called.headers["WWW-Authenticate"]
        assert (refreshed.status_code, refreshed.json()["error"]) == revocation.refusal, revocation.name
    for device in left:
        require(device.call(), 200)
    return left
