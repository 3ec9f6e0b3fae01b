"""Clients: registered with hashed secrets, found by their exact id, authenticated, sent only where they registered."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from django.conf import LazySettings
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import (
    Registration,
    authenticate_client,
    change_client,
    clients,
    find_client,
    find_redirect_uri,
    note_use,
    register,
    register_by_hand,
    replace_secret,
)
from mcp_oidc.errors import InvalidClient
from mcp_oidc.models import AbstractClient, Event
from mcp_oidc.protocol.client_authentication import ClientCredentials
from mcp_oidc.protocol.client_metadata import ClientMetadata
from tests.core.passing import let_pass
from tests.factories import make_metadata

pytestmark = pytest.mark.django_db

HOUR = 3600


def test_registered_client_is_found_with_all_that_it_registered(caller: Caller) -> None:
    metadata = make_metadata(client_uri="https://client.example", scope="openid mcp")
    client = find_client(register(metadata, caller=caller).client.client_id)
    assert client is not None
    assert client.metadata == metadata.as_dict()
    assert client.redirect_uris.split() == list(metadata.redirect_uris)
    assert client.registration_source == "dcr"
    event = Event.objects.get(kind="client.registered")
    assert (event.client_id, event.client_name, event.address) == (client.pk, "Test client", caller.address)


def test_public_client_gets_no_secret(client_metadata: ClientMetadata, caller: Caller) -> None:
    registration = register(client_metadata, caller=caller)
    assert registration.secret is None
    assert registration.client.client_secret == ""


@pytest.mark.requirement("secrets-hashed")
def test_secret_is_kept_as_a_hash_alone(confidential_client: Registration) -> None:
    secret = confidential_client.secret
    assert secret is not None
    row = clients().values().get(pk=confidential_client.client.pk)
    assert row["client_secret"] == hashlib.sha256(secret.encode()).hexdigest()
    assert secret not in str(row)
    assert secret not in repr(confidential_client)


def test_ids_and_secrets_are_url_safe(confidential_client: Registration) -> None:
    # It then makes no difference whether a client encodes them for Basic authentication.
    text = f"{confidential_client.client.client_id}{confidential_client.secret}"
    assert text.replace("-", "").replace("_", "").isalnum()


def test_long_name_is_cut_to_its_column_and_echoed_in_full(caller: Caller) -> None:
    name = "\N{GRINNING FACE}" * 500
    client = register(make_metadata(client_name=name), caller=caller).client
    client.refresh_from_db()
    assert client.name == name[:255]
    assert client.metadata["client_name"] == name


@pytest.mark.requirement("client-id-exact")
@pytest.mark.parametrize(
    "change", [str.upper, str.lower, str.swapcase, lambda text: text + " ", lambda text: text + "\0"]
)
def test_client_is_found_by_its_exact_id_only(public_client: AbstractClient, change: Any) -> None:
    # MariaDB by itself finds all but the last one, and PostgreSQL fails on the last one.
    public_client.client_id = "AbCdEf"
    public_client.save()
    assert find_client("AbCdEf") == public_client
    assert find_client(change("AbCdEf")) is None


@pytest.mark.parametrize(
    "client_id", ["", "unknown", "x" * 10_000, "\u00e9\N{GRINNING FACE}", "\0", "' OR 1=1 --", "%", "_"]
)
def test_unknown_client_is_none(db: None, client_id: str) -> None:
    assert find_client(client_id) is None


@pytest.mark.parametrize("change", [{"trust": "blocked"}, {"deleted_at": "2026-01-01T00:00:00Z"}])
def test_blocked_or_deleted_client_is_not_found(public_client: AbstractClient, change: dict[str, Any]) -> None:
    clients().filter(pk=public_client.pk).update(**change)
    assert find_client(public_client.client_id) is None
    with pytest.raises(InvalidClient):
        authenticate_client(ClientCredentials(public_client.client_id, None, "none"))


def test_public_client_is_authenticated_by_its_id(public_client: AbstractClient) -> None:
    assert authenticate_client(ClientCredentials(public_client.client_id, None, "none")) == public_client


@pytest.mark.parametrize("method", ["client_secret_basic", "client_secret_post"])
def test_confidential_client_is_authenticated_by_its_secret(confidential_client: Registration, method: str) -> None:
    client = confidential_client.client
    assert authenticate_client(ClientCredentials(client.client_id, confidential_client.secret, method)) == client


@pytest.mark.requirement("client-authenticated")
@pytest.mark.parametrize("secret", [None, "", "wrong", "\u00e9"])
def test_confidential_client_without_its_secret_is_refused(
    confidential_client: Registration, secret: str | None
) -> None:
    with pytest.raises(InvalidClient):
        authenticate_client(ClientCredentials(confidential_client.client.client_id, secret, "client_secret_post"))


@pytest.mark.requirement("client-authenticated")
def test_hash_of_a_secret_is_no_secret(confidential_client: Registration) -> None:
    client = confidential_client.client
    with pytest.raises(InvalidClient):
        authenticate_client(ClientCredentials(client.client_id, client.client_secret, "client_secret_post"))


@pytest.mark.parametrize("secret", ["", "anything"])
def test_public_client_that_gives_a_secret_is_refused(public_client: AbstractClient, secret: str) -> None:
    with pytest.raises(InvalidClient):
        authenticate_client(ClientCredentials(public_client.client_id, secret, "client_secret_post"))


def test_every_failed_authentication_reads_the_same(confidential_client: Registration) -> None:
    answers = set()
    for client_id in (confidential_client.client.client_id, "unknown"):
        with pytest.raises(InvalidClient) as refusal:
            authenticate_client(ClientCredentials(client_id, "wrong", "client_secret_post"))
        answers.add((refusal.value.description, refusal.value.log, refusal.value.status))
    assert len(answers) == 1


def test_answer_goes_to_the_presented_uri_if_it_is_registered(caller: Caller) -> None:
    uris = ["https://client.example/cb", "http://localhost/cb", "cursor://anysphere.cursor-mcp/oauth/callback"]
    client = register(make_metadata(redirect_uris=uris), caller=caller).client
    for presented in [*uris, "http://localhost:49152/cb"]:
        assert find_redirect_uri(client, presented) == presented
    for presented in ("https://client.example/", "http://evil.example\\@localhost/cb", "javascript:alert(1)", "", "\0"):
        assert find_redirect_uri(client, presented) is None


def test_answer_goes_to_the_only_uri_if_none_is_presented(public_client: AbstractClient, caller: Caller) -> None:
    assert find_redirect_uri(public_client, None) == public_client.redirect_uris
    two = register(make_metadata(redirect_uris=["https://a.example/", "https://b.example/"]), caller=caller).client
    assert find_redirect_uri(two, None) is None


@pytest.mark.requirement("redirect-uri-safe")
def test_registered_uri_that_is_not_allowed_any_more_gets_no_answer(
    public_client: AbstractClient, settings: LazySettings
) -> None:
    # However it came to be registered: by a metadata document, by hand, under other settings.
    for uri in ("javascript:alert(1)", "http://client.example/cb", "http://[a/", "zed://callback"):
        public_client.redirect_uris = uri
        settings.MCP_OIDC = {**settings.MCP_OIDC, "REDIRECT_SCHEMES": ["zed", "javascript"]}
        assert (find_redirect_uri(public_client, uri) is not None) is uri.startswith("zed")
        settings.MCP_OIDC = {**settings.MCP_OIDC, "REDIRECT_SCHEMES": []}
        assert find_redirect_uri(public_client, uri) is None
        assert find_redirect_uri(public_client, None) is None


def test_use_is_noted_once_in_an_hour(public_client: AbstractClient) -> None:
    note_use(public_client)
    public_client.refresh_from_db()
    first = public_client.last_used_at
    assert first is not None
    with CaptureQueriesContext(connection) as queries:
        note_use(public_client)
    assert len(queries) == 0
    let_pass(HOUR + 1, public_client)
    public_client.refresh_from_db()
    note_use(public_client)
    public_client.refresh_from_db()
    assert public_client.last_used_at >= first


def test_change_of_metadata_undoes_no_decision_taken_meanwhile(public_client: AbstractClient, caller: Caller) -> None:
    clients().filter(pk=public_client.pk).update(trust="blocked")
    change_client(public_client, make_metadata(client_name="Renamed"), caller=caller)
    public_client.refresh_from_db()
    assert (public_client.name, public_client.trust) == ("Renamed", "blocked")


def test_an_edit_does_not_bring_back_a_secret_that_was_replaced_meanwhile(caller: Caller) -> None:
    method = "client_secret_basic"
    metadata = make_metadata(token_endpoint_auth_method=method)
    made = register_by_hand(clients().model(), metadata, caller=caller)
    opened = clients().get(pk=made.client.pk)
    fresh = replace_secret(made.client, caller=caller)
    change_client(opened, metadata, caller=caller)
    authenticate_client(ClientCredentials(opened.client_id, fresh, method))
    with pytest.raises(InvalidClient):
        authenticate_client(ClientCredentials(opened.client_id, made.secret, method))
