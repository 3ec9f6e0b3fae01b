"""Pages of lists that may be long: nobody pages through a million rows, and counting them takes longer than a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.paginator import Paginator
from django.utils.functional import cached_property

if TYPE_CHECKING:
    _Paginator = Paginator[Any]
else:
    _Paginator = Paginator

MAX_LISTED = 5_000


class BoundedPaginator(_Paginator):
    """Counts and lists the first MAX_LISTED rows. `is_bounded` tells that there are more."""

    @cached_property
    def count(self) -> int:
        return min(self._found, MAX_LISTED)

    @property
    def is_bounded(self) -> bool:
        return self._found > MAX_LISTED

    @property
    def max_listed(self) -> int:
        return MAX_LISTED

    @cached_property
    def _found(self) -> int:
        rows: Any = self.object_list
        # Without what is computed for each row.
        return int(rows.order_by().values("pk")[: MAX_LISTED + 1].count())
