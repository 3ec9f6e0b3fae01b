"""The arithmetic of charts."""

from __future__ import annotations

from itertools import pairwise

import pytest

from mcp_oidc.admin.charts import BOTTOM, TOP, WIDTH, bar_chart, round_up


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (0, 1),
        (1, 1),
        (2, 2),
        (3, 5),
        (5, 5),
        (6, 10),
        (10, 10),
        (11, 20),
        (99, 100),
        (2001, 5000),
        (10**12 + 1, 2 * 10**12),
    ],
)
def test_scale_ends_at_the_next_round_number(value: int, expected: int) -> None:
    assert round_up(value) == expected


@pytest.mark.parametrize("count", [1, 24, 30])
def test_bars_stand_side_by_side_and_within_the_drawing(count: int) -> None:
    bars = bar_chart([(str(number), number) for number in range(count)]).bars
    assert len(bars) == count
    assert all(left.x + left.width < right.x for left, right in pairwise(bars))
    assert (bars[0].x > 0, bars[-1].x + bars[-1].width < WIDTH) == (True, True)
    assert all(bar.width > 0 and bar.y >= TOP and bar.y + bar.height == BOTTOM for bar in bars)


def test_heights_are_in_proportion_and_nothing_that_happened_vanishes() -> None:
    chart = bar_chart([("a", 0), ("b", 1), ("c", 500), ("d", 1000)])
    assert [bar.height for bar in chart.bars] == [0, 2, (BOTTOM - TOP) // 2, BOTTOM - TOP]
    assert (chart.total, chart.scale, chart.highest.label) == (1501, 1000, "d")
    assert (chart.first_label, chart.last_label) == ("a", "d")


def test_last_bar_alone_is_open() -> None:
    assert [bar.is_open for bar in bar_chart([("a", 1), ("b", 1), ("c", 1)]).bars] == [False, False, True]
