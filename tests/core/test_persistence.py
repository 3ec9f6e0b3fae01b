"""Writes that must not be lost are tried again while the database does not take them, and not for ever."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.db import InterfaceError, OperationalError, connection, transaction

from mcp_oidc.core import persistence
from mcp_oidc.core.persistence import keep_trying


def failing(times: int, error: type[Exception] = OperationalError) -> Callable[[], None]:
    """A write that the database takes after so many tries."""
    errors = [error("not now")] * times

    def write() -> None:
        if errors:
            raise errors.pop()

    return write


@pytest.fixture
def pauses(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The pauses that were made, in which a second each goes by."""
    made: list[float] = []
    monkeypatch.setattr(persistence.time, "sleep", made.append)
    monkeypatch.setattr(persistence.time, "monotonic", lambda: float(len(made)))
    return made


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [OperationalError, InterfaceError])
def test_a_write_is_tried_again_on_a_new_connection(pauses: list[float], error: type[Exception]) -> None:
    connection.ensure_connection()
    before = connection.connection
    keep_trying(failing(3, error), seconds=10)
    assert len(pauses) == 3
    connection.ensure_connection()
    assert connection.connection is not before


@pytest.mark.django_db(transaction=True)
def test_a_write_that_is_never_taken_ends_with_its_error(pauses: list[float]) -> None:
    with pytest.raises(OperationalError, match="not now"):
        keep_trying(failing(100), seconds=10)
    assert len(pauses) == 10


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("error", [ValueError, KeyError])
def test_other_errors_are_not_tried_again(pauses: list[float], error: type[Exception]) -> None:
    with pytest.raises(error):
        keep_trying(failing(1, error), seconds=10)
    assert not pauses


@pytest.mark.django_db(transaction=True)
def test_transaction_of_the_caller_is_lost_as_a_whole(pauses: list[float]) -> None:
    with pytest.raises(OperationalError), transaction.atomic():
        keep_trying(failing(1), seconds=10)
    assert not pauses
