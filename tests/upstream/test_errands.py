"""Errands: done by a few threads beside the requests, once at a time for each key."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from mcp_oidc.upstream.errands import Errands


class Work:
    """What is to be done. It takes until it is told to end."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.may_end = threading.Event()
        self._changed = threading.Condition()

    def do(self, key: str) -> bool:
        with self._changed:
            self.begun.append(key)
            self._changed.notify_all()
        assert self.may_end.wait(60)
        return key != "fails"

    def wait_until_begun(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.begun) >= count, 30)


@pytest.fixture
def work() -> Iterator[Work]:
    work = Work()
    yield work
    work.may_end.set()


def errands_of(work: Work, *, threads: int = 2, room: int = 10) -> Errands[str]:
    return Errands(work.do, name="errands-of-tests", threads=threads, room=room)


def test_each_tells_whether_it_worked(work: Work) -> None:
    work.may_end.set()
    errands = errands_of(work)
    outcomes = [errands.send(key) for key in ("works", "fails")]
    assert [outcome and outcome.result(30) for outcome in outcomes] == [True, False]
    assert errands.wait(30)


def test_one_that_waits_or_runs_is_not_begun_again(work: Work) -> None:
    errands = errands_of(work, threads=1)
    running = errands.send("a")
    work.wait_until_begun(1)
    waiting = errands.send("b")
    assert (errands.send("a"), errands.send("b")) == (running, waiting)
    work.may_end.set()
    assert errands.wait(30)
    assert work.begun == ["a", "b"]
    # A new one afterwards.
    assert errands.send("a") is not running
    assert errands.wait(30)
    assert work.begun == ["a", "b", "a"]


def test_no_more_run_than_there_are_threads_and_no_more_wait_than_there_is_room(work: Work) -> None:
    errands = errands_of(work, threads=2, room=3)
    assert errands.send("a")
    assert errands.send("b")
    work.wait_until_begun(2)
    assert all(errands.send(key) for key in "cde")
    assert errands.send("f") is None
    # What is under way needs no room.
    assert errands.send("a")
    assert sorted(work.begun) == ["a", "b"]
    assert not errands.wait(0)
    work.may_end.set()
    assert errands.wait(30)
    assert sorted(work.begun) == ["a", "b", "c", "d", "e"]


def test_process_that_ends_finishes_what_has_begun_and_begins_nothing(work: Work) -> None:
    errands = errands_of(work, threads=1)
    running = errands.send("a")
    work.wait_until_begun(1)
    errands.send("b")
    assert not errands.finish(0)
    work.may_end.set()
    assert errands.finish(30)
    assert running
    assert running.done()
    assert work.begun == ["a"]


def test_who_waits_for_one_that_is_called_off_hears_that_it_did_not_work(work: Work) -> None:
    errands = errands_of(work, threads=1)
    errands.send("a")
    work.wait_until_begun(1)
    waiting = errands.send("b")
    errands.call_off()
    assert waiting
    assert waiting.result(30) is False


def test_child_of_a_fork_has_threads_of_its_own(work: Work) -> None:
    work.may_end.set()
    errands = errands_of(work, threads=1)
    errands.send("of the parent")
    assert errands.wait(30)
    # What runs in the child, which has none of the threads.
    errands._begin_anew()
    in_the_child = errands.send("of the child")
    assert in_the_child
    assert in_the_child.result(30)


def test_process_without_room_for_a_thread_goes_on(work: Work, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    work.may_end.set()
    errands = errands_of(work)
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        early = errands.send("a")
    late = errands.send("b")
    assert early
    assert late
    assert early.result(30)
    assert late.result(30)
