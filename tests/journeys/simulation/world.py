"""The world of a simulation: its time, its chances, and what has happened and is to come."""

from __future__ import annotations

import heapq
import itertools
import random
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.clock import Clock
from tests.idp import Idp
from tests.journeys.simulation.habits import DAY
from tests.journeys.simulation.server import Server

# What somebody does when it is their turn. It returns the seconds until the next one, or None after the last.
Turn = Callable[[], float | None]

# Seconds after an outage in which what failed is not tried again.
_AFTER_OUTAGE = 5


@dataclass
class World:
    """All that the participants share. `moment` is the time of the turn at hand, in seconds since the beginning."""

    clock: Clock
    server: Server
    idp: Idp
    seed: int
    moment: float = 0.0
    outage_ends: float = float("-inf")
    # How often SECRET_KEY was rotated.
    secrets: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    random: random.Random = field(init=False)
    _agenda: list[tuple[float, int, Turn]] = field(default_factory=list)
    _numbers: itertools.count[int] = field(default_factory=itertools.count)
    _log: deque[str] = field(default_factory=lambda: deque(maxlen=12))

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)  # noqa: S311  # chances, and no secrets

    def plan(self, turn: Turn, *, after: float) -> None:
        """Let it be somebody's turn in so many seconds, and from then on as they say."""
        heapq.heappush(self._agenda, (self.moment + after, next(self._numbers), turn))

    def run(self, *, until: float) -> None:
        """Let time pass, and everybody have their turns."""
        while self._agenda and self._agenda[0][0] <= until:
            moment, _, turn = heapq.heappop(self._agenda)
            self._move_to(moment)
            pause = turn()
            if pause is not None:
                self.plan(turn, after=pause)
        self._move_to(until)

    def let_pass(self, seconds: float) -> None:
        """Let time pass without anything happening."""
        self._move_to(self.moment + seconds)

    def note(self, what: str) -> None:
        """Count what operators and fate do, and remember it for the stories of clients."""
        self.counts[what] += 1
        self._log.append(self.dated(what))

    def dated(self, what: str) -> str:
        """`what` with the simulated time."""
        day, seconds = divmod(int(self.moment), DAY)
        return f"  day {day:2} {seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}  {what}"

    @property
    def may_be_down(self) -> bool:
        """Whether the servers that ours depends on do not answer, or have just begun to again."""
        return self.moment <= self.outage_ends + _AFTER_OUTAGE

    @property
    def story(self) -> str:
        """What happened last, apart from clients."""
        return "\n".join([f"At the server (seed {self.seed}):", *self._log])

    def _move_to(self, moment: float) -> None:
        self.moment = moment
        self.clock.advance_to(moment)
