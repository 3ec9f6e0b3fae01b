"""Events as CSV: what a list has filtered, streamed in batches, however much it is."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import AsyncIterator, Iterator
from typing import Any

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import QuerySet
from django.http import HttpRequest, StreamingHttpResponse

from mcp_oidc.models import Event

BATCH_SIZE = 1000
COLUMNS = (
    "time",
    "kind",
    "outcome",
    "reason",
    "user_id",
    "user",
    "client_id",
    "client_name",
    "connection_id",
    "subject",
    "address",
    "agent",
    "detail",
)
# What a spreadsheet takes for the beginning of a formula, also after what its own country separates cells by.
_FORMULA = re.compile(r"^(?=[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20])|(?<=[;|])(?=[=+\-@\uff1d\uff0b\uff0d\uff20])")


def export_events(request: HttpRequest, events: QuerySet[Event]) -> StreamingHttpResponse:
    """`events` as a CSV file to download, the newest first. Cells that a spreadsheet would run begin with a quote."""
    chunks = _chunks(events)
    # Django would gather a plain iterator in memory where it serves ASGI.
    content = _asynchronous(chunks) if isinstance(request, ASGIRequest) else chunks
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": 'attachment; filename="events.csv"',
            "X-Content-Type-Options": "nosniff",
        },
    )


def _chunks(events: QuerySet[Event]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield writer.writerow(COLUMNS)
    # By keys and not by one long query: MySQL's driver would hold all of its rows in memory.
    rows = events.select_related("user", "client").order_by("-pk")
    batch = list(rows[:BATCH_SIZE])
    while batch:
        yield "".join(writer.writerow([_inert(cell) for cell in _cells(event)]) for event in batch)
        batch = list(rows.filter(pk__lt=batch[-1].pk)[:BATCH_SIZE])


async def _asynchronous(chunks: Iterator[str]) -> AsyncIterator[str]:
    next_chunk = sync_to_async(lambda: next(chunks, None))
    while (chunk := await next_chunk()) is not None:
        yield chunk


class _Line:
    """A file that hands back each line instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def _cells(event: Event) -> tuple[Any, ...]:
    return (
        event.created_at.isoformat(),
        event.kind,
        event.outcome,
        event.reason,
        event.user_id,
        event.user,
        event.client.client_id if event.client else None,
        event.client_name or (event.client.name if event.client else ""),
        event.connection_id,
        event.subject,
        event.address,
        event.agent,
        json.dumps(event.detail, sort_keys=True, ensure_ascii=False) if event.detail else "",
    )


def _inert(cell: Any) -> str:
    text = "" if cell is None else str(cell)
    return _FORMULA.sub("'", text)
