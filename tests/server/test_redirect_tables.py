"""The tables of docs/redirects.md, each line sent to the server."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from django.test import Client

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import clients, register
from tests.factories import make_metadata
from tests.server.authorizations import authorize_url, json_of

PAGE = (Path(__file__).parents[2] / "docs" / "redirects.md").read_text(encoding="utf-8")
CHARACTERS = {"<tab>": "\t", "<newline>": "\n", "<space>": " ", "<nul>": "\0"}


def rows_below(heading: str) -> list[list[str]]:
    """The cells of each line of the table below a heading: URIs as they are meant, and text."""
    section = PAGE.split(f"## {heading}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("| `")]
    return [[spelled_out(cell) for cell in line.strip("| ").split(" | ")] for line in lines]


def spelled_out(cell: str) -> str:
    for name, character in CHARACTERS.items():
        cell = cell.replace(name, character)
    return cell[1:-1] if cell.startswith("`") else cell


ALLOWED = [uri for uri, _ in rows_below("What may be registered")]
REFUSED = [uri for uri, _ in rows_below("What may not")]
PRESENTED = rows_below("What an authorization request may name")


def send_registration(client: Client, *uris: str) -> Any:
    return client.post("/register", json.dumps({"redirect_uris": uris}), content_type="application/json")


def test_tables_are_read() -> None:
    assert "https://vscode.dev/redirect" in ALLOWED
    assert "java\tscript:alert(1)" in REFUSED
    assert {verdict for *_, verdict in PRESENTED} == {"allowed", "refused"}


@pytest.mark.requirement("redirect-uri-safe")
@pytest.mark.parametrize("uri", ALLOWED)
def test_listed_uri_can_be_registered(db: None, client: Client, uri: str) -> None:
    assert json_of(send_registration(client, uri), 201)["redirect_uris"] == [uri]


@pytest.mark.requirement("redirect-uri-safe")
@pytest.mark.requirement("one-bad-redirect-refuses-all")
@pytest.mark.parametrize("uri", REFUSED, ids=ascii)
def test_listed_uri_is_refused_with_all_that_stands_beside_it(db: None, client: Client, uri: str) -> None:
    # A NUL in JSON is refused before anybody asks what it means.
    expected = "invalid_client_metadata" if "\0" in uri else "invalid_redirect_uri"
    for beside in ((), ("https://client.example/cb",)):
        assert json_of(send_registration(client, *beside, uri), 400)["error"] == expected
    assert not clients().exists()


@pytest.mark.requirement("redirect-uri-exact")
@pytest.mark.parametrize(("registered", "presented", "verdict"), PRESENTED)
def test_listed_request_is_allowed_or_refused(
    db: None, client: Client, registered: str, presented: str, verdict: str
) -> None:
    known = register(make_metadata(redirect_uris=[registered]), caller=Caller()).client
    response = client.get(authorize_url(known, redirect_uri=presented))
    # Allowed: to log in. Refused: a page.
    assert response.status_code == (302 if verdict == "allowed" else 400)
