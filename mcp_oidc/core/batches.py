"""Deletion of many rows in small transactions, each of which holds no lock for long and is done once it is done."""

from __future__ import annotations

from typing import Any

from django.db import router
from django.db.models import QuerySet

BATCH_SIZE = 1000


def delete_in_batches(rows: QuerySet[Any], *, batch_size: int = BATCH_SIZE) -> int:
    """Delete all `rows`, which nothing else refers to. Returns how many."""
    primary = router.db_for_write(rows.model)
    everything = rows.model._default_manager.using(primary)
    deleted = 0
    # The keys first: MariaDB deletes by no subquery with a limit.
    while keys := list(rows.using(primary).values_list("pk", flat=True)[:batch_size]):
        deleted += everything.filter(pk__in=keys).delete()[0]
    return deleted
