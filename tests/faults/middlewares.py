"""Middlewares of altered servers, by which a test sees from outside how far a request has come, and stops it there."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from django.db import connection
from django.http import HttpRequest, HttpResponse

BEGUN = "this request has begun"
# A request names a table, and is held before it inserts there, or its answer.
HOLD = "X-Hold"
ANSWER = "answer"
HELD = "this request is held"

View = Callable[[HttpRequest], HttpResponse]


def tell(get_response: View) -> View:
    """Write a line to the log for each request that begins. The server's own lines are for those that were answered."""

    def middleware(request: HttpRequest) -> HttpResponse:
        _say(BEGUN)
        return get_response(request)

    return middleware


def hold(get_response: View) -> View:
    """Hold what asks for it, for ever: the server is killed right there."""

    def middleware(request: HttpRequest) -> HttpResponse:
        where = request.headers.get(HOLD)
        if where is None:
            return get_response(request)
        with connection.execute_wrapper(lambda *statement: _hold_insert(where, *statement)):
            response = get_response(request)
        if where == ANSWER:
            _hold()
        return response

    return middleware


def _hold_insert(where: str, execute: Callable[..., Any], sql: str, *rest: Any) -> Any:
    if sql.startswith("INSERT") and where in sql.split("(")[0]:
        _hold()
    return execute(sql, *rest)


def _hold() -> None:
    _say(HELD)
    threading.Event().wait()


def _say(line: str) -> None:
    print(line, flush=True)  # noqa: T201  # the log is where the server's output goes
