"""The database, as those ask it who protect an endpoint: they fail closed while it does not answer."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from django.db import Error as DatabaseFailure
from django.db import InterfaceError, OperationalError, close_old_connections

from mcp_oidc.core.outages import tell_outage
from mcp_oidc.errors import TemporarilyUnavailable

T = TypeVar("T")


def ask_database(question: Callable[[], T]) -> T:
    """What `question` returns. Raises `TemporarilyUnavailable` (503) while the database cannot be asked."""
    try:
        return _ask_on_a_connection_that_lives(question)
    except DatabaseFailure as error:
        # Fails closed, and not with a 401: the token may be good, and the client must not throw it away.
        tell_outage(error)
        raise TemporarilyUnavailable("The access token cannot be verified right now.") from error


def _ask_on_a_connection_that_lives(question: Callable[[], T]) -> T:
    try:
        return question()
    except (InterfaceError, OperationalError):
        # The database closed a connection that was kept, and Django notices at the next query only: ours, most often.
        close_old_connections()
        return question()
