"""Outages: the log tells of them now and then, however many requests meet one."""

from __future__ import annotations

import logging
import threading
import time

logger = logging.getLogger("mcp_oidc")

# Seconds between two lines of a process.
INTERVAL = 10.0


class Teller:
    """Tells one thing no more often than every INTERVAL seconds, in all threads of a process."""

    def __init__(self) -> None:
        self._told_at = -INTERVAL
        self._lock = threading.Lock()

    def is_due(self) -> bool:
        """Whether to tell it now."""
        with self._lock:
            now = time.monotonic()
            if now - self._told_at < INTERVAL:
                return False
            self._told_at = now
            return True


_teller = Teller()


def tell_outage(error: Exception) -> None:
    """Log `error` with its traceback, unless one was logged just now."""
    if _teller.is_due():
        logger.error("the database does not answer", exc_info=error)


def forget_outages() -> None:
    """Tell of the next one, whenever the last one was."""
    global _teller
    _teller = Teller()
