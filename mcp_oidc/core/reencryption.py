"""Re-encryption: what an older key of ENCRYPTION_KEYS encrypted is encrypted with the first one.

Not the logins under way (LoginAttempt), which are deleted ten minutes after they began.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models, transaction
from django.db.models import QuerySet

from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.encryption import Undecryptable, present_prefix, reencrypt
from mcp_oidc.models import IdpTokenSet, LoginSession, SigningKey

BATCH_SIZE = 100

# What is encrypted, and the column that tells that a row still holds what was read.
_ENCRYPTED: tuple[tuple[type[models.Model], str], ...] = (
    (SigningKey, "kid"),
    (IdpTokenSet, "version"),
    (LoginSession, "payload"),
)


@dataclass(frozen=True)
class Reencryption:
    """What became of the rows of one kind. `outdated` are those that the first key does not open even now."""

    name: str
    current: int
    reencrypted: int
    unreadable: int
    outdated: int


@dataclass(frozen=True)
class _Row:
    pk: int
    guard: object
    payload: str


def reencrypt_rows(*, batch_size: int = BATCH_SIZE) -> Iterator[Reencryption]:
    """Encrypt every row with the first key, and tell after each kind what was done. Killed half-way, it can run again.

    Rows that the first key opens are not read. One that changes meanwhile is left as it is then.
    """
    for model, guard in _ENCRYPTED:
        yield _reencrypt(model, guard, batch_size)


def _reencrypt(model: type[models.Model], guard: str, batch_size: int) -> Reencryption:
    rows = model._default_manager.all()
    current = rows.filter(payload__startswith=present_prefix()).count()
    reencrypted = unreadable = 0
    for batch in _batches(_outdated(rows), guard, batch_size):
        renewed = [row for row in map(_renewed, batch) if row is not None]
        unreadable += len(batch) - len(renewed)
        reencrypted += _write(rows, guard, renewed)
    name = str(model._meta.verbose_name_plural)
    return Reencryption(name, current, reencrypted, unreadable, outdated=_outdated(rows).count())


def _outdated(rows: QuerySet[Any]) -> QuerySet[Any]:
    return rows.exclude(payload__startswith=present_prefix())


def _batches(rows: QuerySet[Any], guard: str, batch_size: int) -> Iterator[list[_Row]]:
    last = 0
    # Past the rows that stay as they are, or it would never end.
    while batch := list(rows.filter(pk__gt=last).order_by("pk").values_list("pk", guard, "payload")[:batch_size]):
        yield [_Row(*columns) for columns in batch]
        last = batch[-1][0]


def _renewed(row: _Row) -> _Row | None:
    try:
        return _Row(row.pk, row.guard, reencrypt(row.payload))
    except Undecryptable:
        return None


@retry_conflicts
def _write(rows: QuerySet[Any], guard: str, batch: list[_Row]) -> int:
    with transaction.atomic():
        # What was changed meanwhile is not overwritten.
        return sum(rows.filter(pk=row.pk, **{guard: row.guard}).update(payload=row.payload) for row in batch)
