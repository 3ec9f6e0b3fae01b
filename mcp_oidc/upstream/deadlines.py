"""Deadlines that hold, whatever is waited for."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

T = TypeVar("T")


class NoThread(RuntimeError):
    """The process has as many threads as it may have. Nothing was begun."""


def call_within(seconds: float, call: Callable[[], T], *, name: str) -> T:
    """What `call` returns or raises, or `TimeoutError` once that many seconds have passed. Raises `NoThread`.

    Time-outs of sockets bound neither the look-up of a host nor an answer that comes drop by drop; another thread does.
    `call` goes on in that thread, which is called `name`, and nobody hears of its end any more.
    """
    outcome: Future[T] = Future()
    try:
        threading.Thread(target=_settle, args=(outcome, call), name=name, daemon=True).start()
    except RuntimeError:
        raise NoThread from None
    return outcome.result(seconds)


def _settle(outcome: Future[T], call: Callable[[], T]) -> None:
    try:
        outcome.set_result(call())
    except BaseException as error:  # noqa: BLE001  # it is raised again in the thread that waits
        outcome.set_exception(error)
