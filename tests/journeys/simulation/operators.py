"""What operators do to the server, and fate to those it depends on."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from io import StringIO
from typing import Any

from django.conf import LazySettings
from django.core.management import call_command

from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS
from tests.journeys.simulation.credentials import publish_documents
from tests.journeys.simulation.habits import DAY, HOUR, MINUTE
from tests.journeys.simulation.world import Turn, World
from tests.server.documents import Web

_FAULTS = (500, 503, "close", "garbage")


class Operators:
    """Daily restarts and cleanups, weekly key rotations, one rotation of SECRET_KEY, and outages now and then."""

    days_between_keys: float = 7

    def __init__(self, world: World, settings: LazySettings) -> None:
        self.world = world
        self.settings = settings
        self._algorithms = itertools.cycle(reversed(SIGNING_ALGORITHMS))

    def begin(self) -> None:
        """Plan all of it."""
        turns: list[tuple[Turn, float]] = [
            (self._each(DAY, self.clean_up), 3 * HOUR),
            (self._each(DAY, self.restart), 4 * HOUR),
            (self._each(self.days_between_keys * DAY, self.rotate_keys), 0.37 * self.days_between_keys * DAY),
            (self._once(self.rotate_secret), 1.4 * DAY),
            (self._begin_outage, DAY),
        ]
        for turn, after in turns:
            self.world.plan(turn, after=after)

    def end(self) -> None:
        """Leave everything in order."""
        self._end_outage()
        self.world.outage_ends = self.world.moment

    def clean_up(self) -> None:
        """What cron does."""
        self.world.note("cleanups")
        call_command("mcp_oidc_cleanup", stdout=StringIO())

    def restart(self) -> None:
        """A new process, as with every deployment."""
        self.world.note("restarts")
        self.world.server.restart()

    def rotate_keys(self) -> None:
        """A new signing key."""
        self.world.note("key rotations")
        call_command("mcp_oidc_rotate_keys", "--alg", next(self._algorithms), stdout=StringIO())

    def rotate_secret(self) -> None:
        """A new SECRET_KEY. The old one stays among the fallbacks, because clients hold what it made."""
        self.world.note("rotations of SECRET_KEY")
        self.world.secrets += 1
        self.settings.SECRET_KEY_FALLBACKS = [self.settings.SECRET_KEY]
        self.settings.SECRET_KEY = "after the rotation " + "r" * 50
        self.restart()
        call_command("mcp_oidc_reencrypt", stdout=StringIO())

    def _begin_outage(self) -> float:
        world = self.world
        world.note("outages")
        fault = world.random.choice(_FAULTS)
        world.idp.faults = dict.fromkeys(("discovery", "jwks", "token", "userinfo"), fault)
        Web.published = {}
        length = world.random.uniform(20 * MINUTE, 3 * HOUR)
        # Half of them meet a restart, which forgets what was fetched before.
        if world.random.random() < 0.5:
            world.plan(self._once(self.restart), after=length / 2)
        world.outage_ends = world.moment + length
        world.plan(self._once(self._end_outage), after=length)
        return world.random.uniform(DAY, 3 * DAY)

    def _end_outage(self) -> None:
        self.world.idp.faults = {}
        publish_documents()

    @staticmethod
    def _each(pause: float, do: Callable[[], Any]) -> Turn:
        def turn() -> float:
            do()
            return pause

        return turn

    @staticmethod
    def _once(do: Callable[[], Any]) -> Turn:
        def turn() -> None:
            do()

        return turn
