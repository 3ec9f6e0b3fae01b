"""Charts: where the bars of one stand. Plain arithmetic; the template draws them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 280, 96
# Above the bars is room for the number at the scale's end, below them for the labels of both ends.
TOP, BOTTOM = 16, 78
_ROUND = (1, 2, 5, 10)


@dataclass(frozen=True)
class Bar:
    """A rectangle, in units of the drawing."""

    x: int
    y: int
    width: int
    height: int
    label: str
    value: int
    # Its time has not ended: it is drawn hollow.
    is_open: bool


@dataclass(frozen=True)
class Chart:
    """All that is drawn. `scale` is the value at the line on top, a round number."""

    bars: tuple[Bar, ...]
    scale: int
    total: int
    highest: Bar

    @property
    def first_label(self) -> str:
        return self.bars[0].label

    @property
    def last_label(self) -> str:
        return self.bars[-1].label


def bar_chart(values: Sequence[tuple[str, int]]) -> Chart:
    """The chart of labels and values, at least one and in order; the last one is open."""
    scale = round_up(max(value for _, value in values))
    step = WIDTH / len(values)
    bars = tuple(
        _bar(label, value, scale, left=round(index * step), right=round((index + 1) * step), is_open=index == last)
        for last in [len(values) - 1]
        for index, (label, value) in enumerate(values)
    )
    highest = max(bars, key=lambda bar: bar.value)
    return Chart(bars=bars, scale=scale, total=sum(value for _, value in values), highest=highest)


def round_up(value: int) -> int:
    """The least number of one digit (1, 2 or 5) and zeros that is not below `value`, and at least 1."""
    power = int("1" + "0" * (len(str(max(value, 1))) - 1))
    return next(digit * power for digit in _ROUND if digit * power >= value)


def _bar(label: str, value: int, scale: int, *, left: int, right: int, is_open: bool) -> Bar:
    height = round(value * (BOTTOM - TOP) / scale)
    if value:
        # What happened once is seen, however often something else did.
        height = max(height, 2)
    return Bar(
        x=left + 1,
        y=BOTTOM - height,
        width=right - left - 2,
        height=height,
        label=label,
        value=value,
        is_open=is_open,
    )
