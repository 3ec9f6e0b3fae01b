"""Time that passes for a row: its timestamps move back, as if the database's clock had moved on."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import DateTimeField, ExpressionWrapper, F


def let_pass(seconds: float, *rows: models.Model) -> None:
    """Make every timestamp of `rows` that much older in the database. The objects themselves are left as they are."""
    for row in rows:
        names = [field.name for field in row._meta.concrete_fields if isinstance(field, DateTimeField)]
        older = {
            name: ExpressionWrapper(F(name) - timedelta(seconds=seconds), output_field=DateTimeField())
            for name in names
        }
        type(row)._default_manager.filter(pk=row.pk).update(**older)
