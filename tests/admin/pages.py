"""The admin's pages, as an operator's browser asks for them."""

from __future__ import annotations

from typing import Any

from django.http import HttpResponse
from django.test import Client as Browser
from django.urls import reverse


def list_url(model: type[Any]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")


def page_url(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_change", args=[row.pk])


def add_url(model: type[Any]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_add")


def delete_url(row: Any) -> str:
    return reverse(f"admin:{row._meta.app_label}_{row._meta.model_name}_delete", args=[row.pk])


def ask(browser: Browser, action: str, *rows: Any) -> HttpResponse:
    """Choose `action` for `rows` in their list: the page that asks."""
    return _post(browser, rows, {"action": action, "index": 0})


def decide(browser: Browser, action: str, *rows: Any) -> HttpResponse:
    """Confirm `action` on the page that asks."""
    return _post(browser, rows, {"action": action, "confirmed": "yes"})


def text_of(response: Any) -> str:
    assert response.status_code == 200
    return response.content.decode()


def _post(browser: Browser, rows: tuple[Any, ...], data: dict[str, Any]) -> Any:
    return browser.post(list_url(type(rows[0])), {**data, "_selected_action": [row.pk for row in rows]})
