"""The database's clock: the one time that all processes share, so that no deadline depends on who reads it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import DateTimeField, ExpressionWrapper, F, functions
from django.db.models.expressions import Combinable
from django.db.models.sql.compiler import SQLCompiler

from mcp_oidc.conf import app_settings


class Now(functions.Now):
    """The time at the database, in UTC."""

    def as_mysql(self, compiler: SQLCompiler, connection: BaseDatabaseWrapper, **context: Any) -> tuple[str, Any]:
        # Django asks for the time in the session's zone and takes it for UTC: hours off, and an hour of autumn twice.
        return self.as_sql(compiler, connection, template="UTC_TIMESTAMP(6)", **context)


def from_now(seconds: int) -> Combinable:
    """The time that many seconds from now."""
    if not seconds:
        # SQLite compares text, in which a computed time has more digits and is later than the same moment without.
        return Now()
    return ExpressionWrapper(Now() + timedelta(seconds=seconds), output_field=DateTimeField())


def connection_end() -> Combinable:
    """When a connection that is used now expires: it slides, but never past CONNECTION_MAX_AGE."""
    sliding = from_now(app_settings.REFRESH_TOKEN_LIFETIME)
    max_age = app_settings.CONNECTION_MAX_AGE
    if max_age is None:
        return sliding
    last = ExpressionWrapper(F("created_at") + timedelta(seconds=max_age), output_field=DateTimeField())
    return functions.Least(sliding, last, output_field=DateTimeField())
