"""Registrations as clients send them, at `/register` and at the address that it names."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

from django.test import Client as Browser

from tests.factories import REDIRECT_URI


def post_registration(address: str = "127.0.0.1", **members: Any) -> Any:
    """Ask for a registration of a desktop client with `members` in it."""
    document = {"client_name": "Desktop", "redirect_uris": [REDIRECT_URI], **members}
    body = json.dumps(document)
    return Browser(REMOTE_ADDR=address).post("/register", body, content_type="application/json")


def register(**members: Any) -> dict[str, Any]:
    """What a client is told that registers."""
    response = post_registration(**members)
    assert response.status_code == 201, response.content
    answer: dict[str, Any] = response.json()
    return answer


def manage(method: str, known: dict[str, Any], document: dict[str, Any] | None = None, **changes: str | None) -> Any:
    """A request about the registration that was answered with `known`. `changes`: token, path."""
    token = changes.get("token", known["registration_access_token"])
    path = changes.get("path") or urlsplit(known["registration_client_uri"]).path
    headers = {} if token is None else {"Authorization": f"Bearer {token}"}
    body = "" if document is None else json.dumps(document)
    return Browser(enforce_csrf_checks=True).generic(
        method, path, body, content_type="application/json", headers=headers
    )


def document_of(known: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What a client sends to change its registration: all that it was told, with `changes`."""
    ours = ("registration_access_token", "registration_client_uri", "client_id_issued_at", "client_secret_expires_at")
    return {name: value for name, value in {**known, **changes}.items() if name not in ours}
