"""`get_idp_tokens`, from each thing that a tool may hold."""

from __future__ import annotations

from datetime import timedelta

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.test import RequestFactory
from django.utils import timezone

from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens
from mcp_oidc.core.verification import Principal, verify_access_token
from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.models import Identity
from mcp_oidc.resource.context import acting_for
from mcp_oidc.resource.idp_tokens import aget_idp_tokens, get_idp_tokens
from mcp_oidc.resource.mcp_sdk import TokenVerifier
from tests.factories import ISSUER, RESOURCE
from tests.resource.entry_points import (
    Call,
    EntryPoint,
    asgi_entry_point,
    async_django_entry_point,
    django_entry_point,
)

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.resource.urls")]

TOKENS_OF_ALICE = "an access token of the identity provider"


@pytest.fixture
def idp_tokens(identity: Identity) -> IdpTokens:
    tokens = IdpTokens(TOKENS_OF_ALICE, expires_at=timezone.now() + timedelta(hours=1))
    keep_tokens(identity, tokens)
    return tokens


@pytest.fixture
def principal(access_token: str) -> Principal:
    return verify_access_token(access_token, issuer=ISSUER, resource=RESOURCE)


def test_principal_brings_its_tokens(idp_tokens: IdpTokens, principal: Principal) -> None:
    assert get_idp_tokens(principal) == idp_tokens
    assert async_to_sync(aget_idp_tokens)(principal) == idp_tokens


def test_current_principal_needs_no_naming(idp_tokens: IdpTokens, principal: Principal) -> None:
    with acting_for(principal):
        assert get_idp_tokens() == idp_tokens
        assert async_to_sync(aget_idp_tokens)() == idp_tokens


def test_access_token_of_the_sdk_brings_them_too(idp_tokens: IdpTokens, access_token: str) -> None:
    described = async_to_sync(TokenVerifier().verify_token)(access_token)
    assert get_idp_tokens(described) == idp_tokens


@pytest.mark.parametrize("prefix", ["sync", "drf", "ninja"])
def test_request_brings_them_too(prefix: str, idp_tokens: IdpTokens, access_token: str) -> None:
    method = "GET" if prefix == "drf" else "POST"
    answer = django_entry_point(prefix)(Call("tokens", f"Bearer {access_token}", method))
    assert answer.json == {"access_token": TOKENS_OF_ALICE}


@pytest.mark.parametrize("prefix", ["async", "async-ninja"])
def test_async_view_finds_them(prefix: str, idp_tokens: IdpTokens, access_token: str) -> None:
    answer = async_django_entry_point(prefix)(Call("tokens", f"Bearer {access_token}"))
    assert answer.json == {"access_token": TOKENS_OF_ALICE}


@pytest.mark.parametrize(
    ("entry_point", "method"),
    [
        (django_entry_point("sync"), "POST"),
        (async_django_entry_point("async"), "POST"),
        (django_entry_point("drf"), "GET"),
        (asgi_entry_point, "POST"),
    ],
)
def test_tool_without_them_makes_the_client_log_in_again(
    entry_point: EntryPoint, method: str, access_token: str, settings: LazySettings
) -> None:
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": "mcp_oidc.resource.drf.exception_handler"}
    answer = entry_point(Call("tokens", f"Bearer {access_token}", method))
    assert answer.status == 401
    assert answer.challenge.startswith('Bearer error="invalid_token"')
    assert answer.json["error_description"] == "The user has to log in at the identity provider again."


def test_principal_without_tokens_has_to_log_in(principal: Principal) -> None:
    with pytest.raises(UpstreamLoginRequired):
        get_idp_tokens(principal)


def test_nobody_has_no_tokens() -> None:
    with pytest.raises(LookupError, match="no current principal"):
        get_idp_tokens()


def test_request_that_passed_no_entry_point_has_no_tokens() -> None:
    with pytest.raises(LookupError, match="WSGIRequest"):
        get_idp_tokens(RequestFactory().get("/"))


def test_forged_principal_on_an_object_is_not_taken(principal: Principal) -> None:
    class Impostor:
        principal = {"identity_id": 1}

    with pytest.raises(LookupError, match="Impostor"):
        get_idp_tokens(Impostor())
