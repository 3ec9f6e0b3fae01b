"""The bounded memory behind verification."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from mcp_oidc.core.recent import Recent


def test_what_was_kept_is_found() -> None:
    recent: Recent[str, int] = Recent(4)
    recent.put("a", 1)
    assert (recent.get("a"), recent.get("b"), len(recent)) == (1, None, 1)


def test_bound_holds_whatever_comes_in() -> None:
    recent: Recent[int, int] = Recent(10)
    for number in range(1, 1000):
        recent.put(number, number)
        assert len(recent) <= 10
    assert recent.get(999) == 999
    assert recent.get(1) is None


def test_what_is_used_survives_what_is_not() -> None:
    recent: Recent[int, int] = Recent(10)
    recent.put(0, 7)
    for number in range(1, 1000):
        recent.put(number, number)
        assert recent.get(0) == 7
    assert len(recent) <= 10


def test_forgetting_reaches_what_has_not_been_used_for_long() -> None:
    recent: Recent[int, int] = Recent(4)
    for number in range(3):
        recent.put(number, number + 1)
    recent.forget([0, 2])
    assert [recent.get(number) for number in range(3)] == [None, 2, None]
    recent.clear()
    assert len(recent) == 0


def test_what_was_read_before_something_was_forgotten_is_not_kept() -> None:
    recent: Recent[str, int] = Recent(4)
    age = recent.age
    recent.forget(["a"])
    recent.put("a", 1, age=age)
    assert recent.get("a") is None
    recent.put("a", 2, age=recent.age)
    assert recent.get("a") == 2


def test_threads_break_neither_bound_nor_values() -> None:
    recent: Recent[int, int] = Recent(64)

    def work(seed: int) -> bool:
        for step in range(2000):
            key = (seed * 31 + step * 7) % 500
            recent.put(key, key + 1)
            if recent.get(key) not in (None, key + 1):
                return False
            if step % 97 == 0:
                recent.forget([key])
        return True

    with ThreadPoolExecutor(4) as executor:
        assert all(executor.map(work, range(4)))
    assert len(recent) <= 64
