"""A clock that tests move: the database's, Python's and Django's go on together, wherever they are read.

with controllable_clock() as clock:
    clock.advance(3600)
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db.models import functions
from django.utils import timezone

# Packages whose modules may have taken a clock by its name, as in `from time import monotonic`.
_READERS = ("mcp_oidc", "oauth2_provider", "mozilla_django_oidc", "django", "tests")
_LATER: dict[str, Callable[[str, float], str]] = {
    "sqlite": lambda now, seconds: f"{now.removesuffix(')')}, '{seconds:+.3f} seconds')",
    "postgresql": lambda now, seconds: f"({now} + INTERVAL '{seconds:.6f} seconds')",
    "mysql": lambda now, seconds: f"({now} + INTERVAL {seconds * 1e6:.0f} MICROSECOND)",
}

_time, _monotonic, _now = time.time, time.monotonic, timezone.now


class Clock:
    """Time that leaps when a test says so, and otherwise goes on as usual. It never goes back."""

    def __init__(self, ahead: float = 0.0) -> None:
        self._ahead = ahead
        self._began = self.monotonic()

    @property
    def elapsed(self) -> float:
        """Seconds since the clock was made, by itself."""
        return self.monotonic() - self._began

    def advance(self, seconds: float) -> None:
        """Leap."""
        self._ahead += max(seconds, 0.0)

    def advance_to(self, elapsed: float) -> None:
        """Leap to that many seconds after the clock was made, unless they have passed."""
        self.advance(elapsed - self.elapsed)

    def time(self) -> float:
        return _time() + self._ahead

    def monotonic(self) -> float:
        return _monotonic() + self._ahead

    def now(self) -> datetime:
        return _now() + timedelta(seconds=self._ahead)

    def stop(self) -> None:
        """Tell the real time: a module that was imported meanwhile may hold on to this clock."""
        self._ahead = 0.0

    def as_sql(self, now: functions.Now, compiler: Any, connection: Any, **context: Any) -> tuple[str, Any]:
        """In the place of the database's clock: what that says, and the leaps."""
        sql, params = super(functions.Now, now).as_sql(compiler, connection, **context)
        return _LATER[connection.vendor](sql, self._ahead), params


@contextmanager
def controllable_clock(ahead: float = 0.0) -> Iterator[Clock]:
    """A clock that everything in this process goes by until the block ends: so many seconds `ahead` of the others."""
    clock = Clock(ahead)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(functions.Now, "as_sql", lambda now, *args, **context: clock.as_sql(now, *args, **context))
        for original, ours in ((_time, clock.time), (_monotonic, clock.monotonic), (_now, clock.now)):
            for module, name in _places_of(original):
                patch.setattr(module, name, ours)
        yield clock
    clock.stop()


def _places_of(clock: Callable[[], Any]) -> list[tuple[Any, str]]:
    readers = [module for name, module in sys.modules.items() if name.partition(".")[0] in _READERS]
    # Whoever writes `time.time()` or `timezone.now()` asks the module that has it.
    modules = [time, timezone, *(module for module in readers if module is not sys.modules[__name__])]
    places = [(module, name) for module in modules for name, value in vars(module).items() if value is clock]
    return list(dict.fromkeys(places))
