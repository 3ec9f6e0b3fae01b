"""Management of registrations by those who made them (RFC 7592), over HTTP."""

from __future__ import annotations

import json
from typing import Any

import pytest
from django.test import Client, override_settings
from jwcrypto.jwk import JWK

from mcp_oidc.adapter import Adapter
from mcp_oidc.core import registrations
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import clients, find_client, register_by_hand
from mcp_oidc.core.revocation import block_client, delete_client
from mcp_oidc.errors import AccessDenied, InvalidToken
from mcp_oidc.models import ClientHost, Connection, Event
from mcp_oidc.protocol.client_metadata import ClientMetadata
from tests.factories import ISSUER, REDIRECT_URI, make_metadata
from tests.server.authorizations import json_of, post_form, redeem
from tests.server.registrations import document_of, manage, register

pytestmark = pytest.mark.django_db

PUBLIC_KEY = JWK.generate(kty="EC", crv="P-256").export_public(as_dict=True)


@pytest.fixture
def known() -> dict[str, Any]:
    """What a client was told when it registered."""
    return register(client_uri="https://desktop.example")


def assert_refused(response: Any) -> None:
    assert json_of(response, 401)["error"] == "invalid_token"
    assert response["WWW-Authenticate"].startswith("Bearer ")
    assert response["Cache-Control"] == "no-store"


@pytest.mark.requirement("registration-managed")
def test_client_reads_what_it_registered(known: dict[str, Any]) -> None:
    response = manage("GET", known)
    assert json_of(response, 200) == known
    assert response["Cache-Control"] == "no-store"
    assert not response.cookies


def test_address_is_below_the_issuer(known: dict[str, Any]) -> None:
    assert known["registration_client_uri"] == f"{ISSUER}/register/{known['client_id']}"


@pytest.mark.requirement("registration-managed")
def test_token_is_kept_as_a_hash_and_never_shown_twice(known: dict[str, Any]) -> None:
    token = known["registration_access_token"]
    assert len(token) >= 43
    assert token not in json.dumps([list(clients().values()), list(Event.objects.values())], default=str)
    assert_refused(manage("GET", known, token=clients().get().registration_token))


def test_secret_is_not_told_again() -> None:
    known = register(token_endpoint_auth_method="client_secret_basic")
    document = json_of(manage("GET", known), 200)
    assert not {"client_secret", "client_secret_expires_at"} & set(document)


@pytest.mark.requirement("registration-managed")
def test_update_replaces_everything(known: dict[str, Any]) -> None:
    wanted = {
        "client_id": known["client_id"],
        "client_name": "Renamed",
        "redirect_uris": ["https://desktop.example/cb"],
        "grant_types": ["authorization_code"],
        "jwks": {"keys": [PUBLIC_KEY]},
    }
    answer = json_of(manage("PUT", known, wanted), 200)
    assert {name: answer[name] for name in wanted} == wanted
    # RFC 7592 2.2: what is left out is gone.
    assert "client_uri" not in answer
    assert answer["client_id_issued_at"] == known["client_id_issued_at"]
    client = find_client(known["client_id"])
    assert client is not None
    assert (client.name, client.redirect_uris, client.host) == (
        "Renamed",
        "https://desktop.example/cb",
        "desktop.example",
    )
    assert Event.objects.get(kind="client.changed").address == "127.0.0.1"


@pytest.mark.requirement("registration-token-rotates")
def test_update_brings_a_new_token_and_ends_the_old_one(known: dict[str, Any]) -> None:
    answer = json_of(manage("PUT", known, document_of(known, client_name="Renamed")), 200)
    assert answer["registration_access_token"] != known["registration_access_token"]
    assert_refused(manage("GET", known))
    assert_refused(manage("PUT", known, document_of(known)))
    assert json_of(manage("GET", answer), 200) == answer


@pytest.mark.requirement("registration-token-rotates")
def test_one_of_two_updates_at_once_wins(known: dict[str, Any]) -> None:
    seen_by_both = [
        registrations.find_registration(known["client_id"], known["registration_access_token"]) for _ in range(2)
    ]
    first, second = seen_by_both
    token = registrations.change_registration(first, make_metadata(client_name="first"), caller=Caller())
    with pytest.raises(InvalidToken):
        registrations.change_registration(second, make_metadata(client_name="second"), caller=Caller())
    assert clients().get().name == "first"
    registrations.find_registration(known["client_id"], str(token.management_token))


def test_refused_update_changes_nothing(known: dict[str, Any]) -> None:
    refused = manage("PUT", known, document_of(known, redirect_uris=["javascript:alert(1)"], client_name="Evil"))
    assert json_of(refused, 400)["error"] == "invalid_redirect_uri"
    assert json_of(manage("GET", known), 200) == known


@pytest.mark.parametrize(
    "change",
    [
        {"client_id": None},
        {"client_id": "another"},
        {"client_id": 1},
        {"client_secret": "chosen by the client"},
        {"client_secret": ""},
        {"client_secret": 1},
    ],
)
def test_update_of_another_client_or_with_another_secret_is_refused(
    known: dict[str, Any], change: dict[str, Any]
) -> None:
    document = json_of(manage("PUT", known, document_of(known, **change)), 400)
    assert document["error"] == "invalid_client_metadata"
    assert next(iter(change)) in document["error_description"]
    assert json_of(manage("GET", known), 200) == known


def is_secret_of(client_id: str, secret: str) -> bool:
    params = {"client_id": client_id, "client_secret": secret, "token": "x"}
    return post_form("/token/revocation", params).status_code == 200


def test_secret_survives_an_update_that_keeps_the_client_confidential() -> None:
    known = register(token_endpoint_auth_method="client_secret_basic")
    wanted = document_of(known, token_endpoint_auth_method="client_secret_post")
    answer = json_of(manage("PUT", known, wanted), 200)
    assert answer["token_endpoint_auth_method"] == "client_secret_post"
    assert "client_secret" not in answer
    assert is_secret_of(known["client_id"], known["client_secret"])


def test_client_that_becomes_confidential_is_told_its_secret(known: dict[str, Any]) -> None:
    answer = json_of(manage("PUT", known, document_of(known, token_endpoint_auth_method="client_secret_basic")), 200)
    assert answer["client_secret_expires_at"] == 0
    assert is_secret_of(known["client_id"], answer["client_secret"])
    assert clients().get().client_type == "confidential"


@pytest.mark.parametrize("members", [{"token_endpoint_auth_method": "none"}, {"client_secret": None}])
def test_secret_ends_where_none_is_needed_any_more(members: dict[str, Any]) -> None:
    known = register(token_endpoint_auth_method="client_secret_basic")
    keys = {"token_endpoint_auth_method": "private_key_jwt", "jwks": {"keys": [PUBLIC_KEY]}}
    json_of(manage("PUT", known, document_of(known, **{**keys, **members})), 200)
    assert not is_secret_of(known["client_id"], known["client_secret"])
    assert clients().get().client_secret == ""


def test_client_with_keys_is_confidential_and_has_no_secret() -> None:
    known = register(token_endpoint_auth_method="private_key_jwt", jwks_uri="https://desktop.example/jwks")
    assert known["jwks_uri"] == "https://desktop.example/jwks"
    assert "client_secret" not in known
    client = clients().get()
    assert (client.client_type, client.client_secret, client.is_public) == ("confidential", "", False)


@pytest.mark.requirement("registration-managed")
def test_deleted_client_is_gone_with_all_that_was_issued_to_it(known: dict[str, Any], browser: Client) -> None:
    client = find_client(known["client_id"])
    assert client is not None
    tokens = redeem(browser, client)
    response = manage("DELETE", known)
    assert (response.status_code, response.content, response["Cache-Control"]) == (204, b"", "no-store")
    refresh = {
        "grant_type": "refresh_token",
        "client_id": known["client_id"],
        "refresh_token": tokens["refresh_token"],
    }
    assert json_of(post_form("/token", refresh), 401)["error"] == "invalid_client"
    assert Connection.objects.get().revoked_reason == "client_deleted"
    assert clients().get().deleted_at is not None
    assert Event.objects.get(kind="client.deleted").address == "127.0.0.1"


@pytest.mark.requirement("registration-tells-nothing")
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
@pytest.mark.parametrize("token", [None, "wrong", "x" * 5000])
def test_unknown_client_and_wrong_token_are_told_the_same(
    known: dict[str, Any], method: str, token: str | None
) -> None:
    here = manage(method, known, document_of(known), token=token)
    nowhere = manage(method, known, document_of(known), token=token, path="/register/unknown")
    assert_refused(here)
    assert (here.content, here["WWW-Authenticate"]) == (nowhere.content, nowhere["WWW-Authenticate"])
    assert json_of(manage("GET", known), 200) == known


@pytest.mark.requirement("registration-tells-nothing")
@pytest.mark.parametrize("end", [block_client, delete_client])
def test_token_of_a_client_that_has_ended_is_refused(known: dict[str, Any], end: Any) -> None:
    unknown = manage("GET", known, path="/register/unknown").content
    end(clients().get())
    for method in ("GET", "PUT", "DELETE"):
        response = manage(method, known, document_of(known))
        assert_refused(response)
        assert response.content == unknown


def test_token_of_another_client_is_refused(known: dict[str, Any]) -> None:
    other = register(client_name="Other")
    assert_refused(manage("DELETE", known, token=other["registration_access_token"]))
    assert find_client(known["client_id"]) is not None


@pytest.mark.parametrize("token", ["", "0" * 64])
def test_client_that_an_operator_added_manages_nothing(token: str) -> None:
    client = register_by_hand(clients().model(), make_metadata(), caller=Caller()).client
    path = f"/register/{client.client_id}"
    response = Client().get(path, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code in (400, 401)
    assert_refused(Client().get(path))


def test_malformed_header_is_a_bad_request(known: dict[str, Any]) -> None:
    response = Client().get(f"/register/{known['client_id']}", headers={"Authorization": "Bearer a b"})
    assert json_of(response, 400)["error"] == "invalid_request"


@pytest.mark.parametrize("body", [b"", b"[]", b"{", b"\xff", b"x" * 100_000])
def test_update_that_is_no_json_object_is_refused(known: dict[str, Any], body: bytes) -> None:
    headers = {"Authorization": f"Bearer {known['registration_access_token']}"}
    path = f"/register/{known['client_id']}"
    response = Client().put(path, body, content_type="application/json", headers=headers)
    assert json_of(response, 400)["error"] == "invalid_client_metadata"


@pytest.mark.parametrize("method", ["POST", "PATCH", "HEAD"])
def test_other_methods_are_refused(known: dict[str, Any], method: str) -> None:
    response = manage(method, known)
    assert response.status_code == 405
    assert response["Allow"] == "GET, PUT, DELETE, OPTIONS"


def test_browser_may_ask_before_it_calls(known: dict[str, Any]) -> None:
    origin = "http://localhost:6274"
    response = Client().options(f"/register/{known['client_id']}", headers={"Origin": origin})
    assert response["Access-Control-Allow-Origin"] == origin
    assert "PUT" in response["Access-Control-Allow-Methods"]


class Choosy(Adapter):
    """Refuses what calls itself bad."""

    def authorize_registration(self, request: Any, metadata: ClientMetadata) -> None:
        if metadata.name == "bad":
            raise AccessDenied("Not you.")


@pytest.mark.requirement("registration-blocked")
def test_what_may_not_register_may_not_be_changed_into_either(known: dict[str, Any]) -> None:
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "ADAPTER": Choosy}):
        assert json_of(manage("PUT", known, document_of(known, client_name="bad")), 403)["error"] == "access_denied"
    with override_settings(MCP_OIDC={"ISSUER": ISSUER, "REGISTRATION": "closed"}):
        assert json_of(manage("PUT", known, document_of(known)), 403)["error"] == "access_denied"
        assert json_of(manage("GET", known), 200) == known
    ClientHost.objects.create(host="evil.example", trust=ClientHost.Trust.BLOCKED)
    evil = document_of(known, redirect_uris=[REDIRECT_URI, "https://evil.example/cb"])
    assert json_of(manage("PUT", known, evil), 403)["error"] == "access_denied"
    assert json_of(manage("GET", known), 200) == known
