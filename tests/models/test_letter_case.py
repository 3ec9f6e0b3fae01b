"""Ids that differ only in case are different ids. MariaDB compares without regard to it, and finds one for the other.

`test_on_mariadb.py` runs these tests there.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth import get_user_model

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.client_documents import keep_document
from mcp_oidc.core.clients import find_client
from mcp_oidc.core.consents import is_consent_needed, remember_consent
from mcp_oidc.core.identities import sign_in
from mcp_oidc.models import AbstractClient, Client, Identity
from mcp_oidc.protocol.client_documents import parse_client_document
from tests.factories import RESOURCE

ISSUER = "https://login.example.com"


@pytest.mark.requirement("ids-have-case")
@pytest.mark.parametrize("change", [str.upper, str.lower, str.swapcase, lambda text: text + " "])
def test_a_client_is_found_by_its_exact_id_only(public_client: AbstractClient, change: Callable[[str], str]) -> None:
    Client.objects.filter(pk=public_client.pk).update(client_id="aB-client")
    assert find_client("aB-client") is not None
    assert find_client(change("aB-client")) is None


@pytest.mark.requirement("ids-have-case")
def test_two_subs_that_differ_in_case_are_two_users(db: None, caller: Caller) -> None:
    first = sign_in("upstream", ISSUER, {"sub": "Abc", "preferred_username": "one"}, caller=caller)
    second = sign_in("upstream", ISSUER, {"sub": "abc", "preferred_username": "two"}, caller=caller)
    assert first.user_id != second.user_id
    assert sign_in("upstream", ISSUER, {"sub": "Abc"}, caller=caller) == first
    assert Identity.objects.count() == 2


def test_two_issuers_that_differ_in_case_are_two_issuers(db: None, caller: Caller) -> None:
    first = sign_in("upstream", f"{ISSUER}/Tenant", {"sub": "a", "preferred_username": "one"}, caller=caller)
    second = sign_in("upstream", f"{ISSUER}/tenant", {"sub": "a", "preferred_username": "two"}, caller=caller)
    assert first.user_id != second.user_id


def test_two_subs_that_differ_in_an_accent_are_two_users(db: None, caller: Caller) -> None:
    first = sign_in("upstream", ISSUER, {"sub": "jose", "preferred_username": "one"}, caller=caller)
    second = sign_in("upstream", ISSUER, {"sub": "josé", "preferred_username": "two"}, caller=caller)
    assert first.user_id != second.user_id


def test_new_users_whose_names_differ_in_case_do_not_collide(db: None, caller: Caller) -> None:
    for number, name in enumerate(["alice", "Alice", "ALICE"]):
        sign_in("upstream", ISSUER, {"sub": str(number), "preferred_username": name}, caller=caller)
    assert get_user_model().objects.count() == 3


def test_consent_to_one_path_is_none_to_the_same_path_in_capitals(
    public_client: AbstractClient, identity: Identity
) -> None:
    wanted = {"resource": RESOURCE, "scopes": ["mcp"]}
    remember_consent(identity.user, public_client, redirect_uri="https://app.example.com/cb", **wanted)
    assert not is_consent_needed(identity.user, public_client, redirect_uri="https://app.example.com/cb", **wanted)
    assert is_consent_needed(identity.user, public_client, redirect_uri="https://app.example.com/CB", **wanted)


@pytest.mark.requirement("ids-have-case")
def test_documents_at_urls_that_differ_in_case_are_never_mixed_up(db: None, caller: Caller) -> None:
    urls = ["https://app.example/Client", "https://app.example/client"]
    for url in urls:
        members = {"client_id": url, "client_name": url, "redirect_uris": ["https://app.example/cb"]}
        document = parse_client_document(members, url=url, private_schemes=())
        client = keep_document(document, max_age=60, caller=caller)
        # Where the database takes the second for the first, it stays unknown.
        assert client is None or (client.client_id, client.name) == (url, url)
    first = find_client(urls[0])
    assert first is not None
    assert first.name == urls[0]
