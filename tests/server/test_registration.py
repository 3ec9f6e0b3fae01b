"""Dynamic client registration (RFC 7591), over HTTP."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from django.contrib.auth.hashers import MD5PasswordHasher
from django.test import Client, override_settings

from mcp_oidc.adapter import Adapter
from mcp_oidc.core.clients import clients, find_client
from mcp_oidc.errors import AccessDenied
from mcp_oidc.models import Event
from mcp_oidc.protocol.client_metadata import ClientMetadata
from tests.factories import ISSUER, REDIRECT_URI
from tests.server.authorizations import json_of, post_form

pytestmark = pytest.mark.django_db

# Characters that need no escape in a URL, in Basic credentials or in a shell.
URL_SAFE = re.compile(r"[A-Za-z0-9_-]{20,}")


def register(client: Client, **members: Any) -> Any:
    document = {"client_name": "Desktop", "redirect_uris": [REDIRECT_URI], **members}
    return post_text(client, json.dumps(document))


def post_text(client: Client, text: str | bytes, content_type: str = "application/json") -> Any:
    return client.post("/register", text, content_type=content_type)


@pytest.mark.requirement("registration-response")
def test_public_client_gets_an_id_and_what_was_kept(client: Client) -> None:
    document = json_of(register(client, client_uri="https://desktop.example", contacts=["ops@desktop.example"]), 201)
    client_id = document.pop("client_id")
    assert find_client(client_id) is not None
    assert isinstance(document.pop("client_id_issued_at"), int)
    assert document.pop("registration_client_uri") == f"{ISSUER}/register/{client_id}"
    assert URL_SAFE.fullmatch(document.pop("registration_access_token"))
    assert document == {
        "client_name": "Desktop",
        "client_uri": "https://desktop.example",
        "contacts": ["ops@desktop.example"],
        "redirect_uris": [REDIRECT_URI],
        "token_endpoint_auth_method": "none",
        "grant_types": ["authorization_code", "refresh_token"],
        "response_types": ["code"],
        "application_type": "web",
    }


@pytest.mark.requirement("registration-secret")
@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_confidential_client_is_told_its_secret_once(client: Client, method: str) -> None:
    document = json_of(register(client, token_endpoint_auth_method=method), 201)
    assert document["token_endpoint_auth_method"] == method
    assert document["client_secret_expires_at"] == 0
    assert URL_SAFE.fullmatch(document["client_secret"])
    kept = json.dumps(list(clients().values()), default=str)
    assert document["client_secret"] not in kept


@pytest.mark.requirement("registration-secret")
@pytest.mark.parametrize("members", [{}, {"token_endpoint_auth_method": "none"}, {"token_endpoint_auth_method": None}])
def test_public_client_gets_no_secret(client: Client, members: dict[str, Any]) -> None:
    document = json_of(register(client, **members), 201)
    assert document["token_endpoint_auth_method"] == "none"
    assert not {"client_secret", "client_secret_expires_at"} & set(document)
    assert clients().get().client_secret == ""


class ForbiddenHasher(MD5PasswordHasher):
    """Password hashers are slow on purpose, and secrets of 256 bits need none."""

    def encode(self, password: str, salt: str) -> str:
        raise AssertionError("a password hasher was called")


@pytest.mark.requirement("registration-secret")
@pytest.mark.parametrize("method", ["none", "client_secret_basic"])
def test_no_password_hasher_is_called(client: Client, method: str) -> None:
    with override_settings(PASSWORD_HASHERS=["tests.server.test_registration.ForbiddenHasher"]):
        document = json_of(register(client, token_endpoint_auth_method=method), 201)
        credentials = {name: document[name] for name in ("client_id", "client_secret") if name in document}
        assert post_form("/token/revocation", {**credentials, "token": "x"}).status_code == 200


@pytest.mark.requirement("registration-url-safe")
def test_ids_are_url_safe_and_never_the_same(client: Client) -> None:
    ids = [json_of(register(client), 201)["client_id"] for _ in range(20)]
    assert all(URL_SAFE.fullmatch(client_id) for client_id in ids)
    assert len(set(ids)) == 20


@pytest.mark.requirement("registration-no-store")
@pytest.mark.parametrize("members", [{}, {"redirect_uris": []}])
def test_answers_are_not_cached_and_set_no_cookie(client: Client, members: dict[str, Any]) -> None:
    answer = register(client, **members)
    assert answer["Cache-Control"] == "no-store"
    assert answer["Pragma"] == "no-cache"
    assert not answer.cookies


@pytest.mark.requirement("no-null")
def test_null_and_empty_members_count_as_left_out(client: Client) -> None:
    # As the SDKs send them, and refuse them when they come back.
    answer = register(client, client_uri="", logo_uri=None, scope=None, contacts=[], software_id=None, jwks=None)
    text = answer.content.decode()
    assert answer.status_code == 201
    assert "null" not in text
    assert '""' not in text
    assert not {"client_uri", "logo_uri", "scope", "contacts", "software_id"} & set(answer.json())


def test_unknown_members_are_ignored(client: Client) -> None:
    document = json_of(register(client, something="else", client_id="mine", client_secret="mine", trust="trusted"), 201)
    assert "something" not in document
    assert document["client_id"] != "mine"
    assert clients().get().trust == ""


REFUSED = [
    ({"redirect_uris": None}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": []}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": REDIRECT_URI}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": [7]}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": ["http://app.example/cb"]}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": ["javascript:alert(1)"]}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": ["https://app.example/*"]}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": ["https://app.example/cb#x"]}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": ["https://app.example/a[b]"]}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": [REDIRECT_URI, "data:text/html,x"]}, "invalid_redirect_uri", "redirect_uris"),
    ({"redirect_uris": [REDIRECT_URI] * 21}, "invalid_redirect_uri", "redirect_uris"),
    ({"token_endpoint_auth_method": "client_secret_jwt"}, "invalid_client_metadata", "token_endpoint_auth_method"),
    ({"token_endpoint_auth_method": ["none"]}, "invalid_client_metadata", "token_endpoint_auth_method"),
    ({"grant_types": ["password"]}, "invalid_client_metadata", "grant_types"),
    ({"grant_types": "authorization_code"}, "invalid_client_metadata", "grant_types"),
    ({"grant_types": ["authorization_code"] * 21}, "invalid_client_metadata", "grant_types"),
    ({"response_types": ["token"]}, "invalid_client_metadata", "response_types"),
    ({"response_types": [None]}, "invalid_client_metadata", "response_types"),
    ({"application_type": "desktop"}, "invalid_client_metadata", "application_type"),
    ({"client_name": 5}, "invalid_client_metadata", "client_name"),
    ({"client_name": "x" * 501}, "invalid_client_metadata", "client_name"),
    ({"client_uri": "javascript:alert(1)"}, "invalid_client_metadata", "client_uri"),
    ({"logo_uri": "data:image/svg+xml,x"}, "invalid_client_metadata", "logo_uri"),
    ({"tos_uri": {"en": "https://x.example"}}, "invalid_client_metadata", "tos_uri"),
    ({"policy_uri": "/policy"}, "invalid_client_metadata", "policy_uri"),
    ({"contacts": "ops@desktop.example"}, "invalid_client_metadata", "contacts"),
    ({"contacts": [{}]}, "invalid_client_metadata", "contacts"),
    ({"software_id": 1}, "invalid_client_metadata", "software_id"),
    ({"scope": ["mcp"]}, "invalid_client_metadata", "scope"),
]


@pytest.mark.requirement("registration-errors")
@pytest.mark.parametrize(("members", "error", "field"), REFUSED)
def test_refusal_names_the_member_and_keeps_nothing(
    client: Client, members: dict[str, Any], error: str, field: str
) -> None:
    document = json_of(register(client, **members), 400)
    assert document["error"] == error
    assert field in document["error_description"]
    assert not clients().exists()


@pytest.mark.requirement("registration-errors")
@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b'"text"',
        b"\xff\xfe{}",
        b'{"redirect_uris": ["http://127.0.0.1/"], "client_name": "\xed\xa0\x80"}',
        b'{"redirect_uris": ["http://127.0.0.1/"], "client_name": "\\ud800"}',
        b'{"redirect_uris": ["http://127.0.0.1/"], "client_name": "a\\u0000b"}',
        b'{"redirect_uris": ["http://127.0.0.1/"], "client_name": "a\x00b"}',
        b'{"redirect_uris": ["http://127.0.0.1/"], "x": 1e999}',
        b'{"redirect_uris": ["http://127.0.0.1/"], "x": NaN}',
        b"[" * 60_000,
        b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
        b'{"client_name": "' + b"x" * 1_000_000 + b'"}',
        b"9" * 50_000,
    ],
    ids=lambda body: f"{len(body)} bytes of {body[-14:]!r}",
)
def test_body_that_is_no_usable_json_is_refused(client: Client, body: bytes) -> None:
    assert json_of(post_text(client, body), 400)["error"] == "invalid_client_metadata"
    assert not clients().exists()


@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_other_content_types_are_refused(client: Client, content_type: str) -> None:
    body = json.dumps({"redirect_uris": [REDIRECT_URI]})
    assert json_of(post_text(client, body, content_type), 400)["error"] == "invalid_client_metadata"


def test_charset_of_the_content_type_does_not_matter(client: Client) -> None:
    body = json.dumps({"redirect_uris": [REDIRECT_URI], "client_name": "Žlutý kůň 🐎"}, ensure_ascii=False)
    document = json_of(post_text(client, body.encode(), "application/json; charset=utf-8"), 201)
    assert document["client_name"] == "Žlutý kůň 🐎"


def test_less_may_be_registered_than_was_asked_for(client: Client) -> None:
    asked = {"grant_types": ["implicit", "authorization_code"], "response_types": ["token", "code"]}
    document = json_of(register(client, **asked), 201)
    assert document["grant_types"] == ["authorization_code"]
    assert document["response_types"] == ["code"]


@pytest.mark.parametrize("mode", ["closed", "cimd"])
def test_nobody_registers_where_it_is_not_open(client: Client, mode: str) -> None:
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "REGISTRATION": mode}):
        assert json_of(register(client), 403)["error"] == "access_denied"
    assert not clients().exists()


class Choosy(Adapter):
    """Refuses what calls itself bad."""

    def authorize_registration(self, request: Any, metadata: ClientMetadata) -> None:
        if metadata.name == "bad":
            raise AccessDenied("Not you.")


def test_adapter_may_refuse_a_client(client: Client) -> None:
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "ADAPTER": Choosy}):
        refused = json_of(register(client, client_name="bad"), 403)
        assert register(client, client_name="good").status_code == 201
    assert refused == {"error": "access_denied", "error_description": "Not you."}
    assert clients().count() == 1
    event = Event.objects.get(kind="client.registered", outcome="refused")
    assert (event.reason, event.detail, event.address) == (
        "refused by the adapter",
        {"client_name": "bad"},
        "127.0.0.1",
    )


def test_refused_registrations_count_for_the_limit_so_that_they_cannot_fill_the_audit(client: Client) -> None:
    limited = {"ISSUER": ISSUER, "ADAPTER": Choosy, "REGISTRATIONS_PER_ADDRESS": 2}
    with override_settings(MCP_OIDC=limited):
        answers = [register(client, client_name="bad").status_code for _ in range(4)]
    assert answers == [403, 403, 429, 429]
    assert Event.objects.count() == 2


def test_registration_is_audited_with_where_it_came_from(client: Client) -> None:
    client.post(
        "/register",
        json.dumps({"redirect_uris": [REDIRECT_URI]}),
        content_type="application/json",
        headers={"User-Agent": "desktop/1.0", "X-Forwarded-For": "203.0.113.9"},
    )
    event = Event.objects.get(kind="client.registered")
    assert (event.outcome, event.address, event.agent) == ("allowed", "127.0.0.1", "desktop/1.0")
