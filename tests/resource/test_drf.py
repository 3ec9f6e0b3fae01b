"""`BearerAuthentication` and `HasScopes`, beyond what every entry point does alike."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import RequestFactory, override_settings
from rest_framework.authentication import TokenAuthentication
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.resource.decorators import require_scopes
from mcp_oidc.resource.drf import BearerAuthentication, HasScopes, exception_handler
from tests.factories import ISSUER
from tests.resource.worlds import PLAIN, Issue

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.resource.urls")]


class Base(APIView):
    authentication_classes: Any = [BearerAuthentication]
    permission_classes: Any = [AllowAny]

    def post(self, request: Request) -> Response:
        return Response({"resource": request.auth and request.auth.resource, "data": request.data})


def post(view: Any, token: str | None = None, *, scheme: str = "Bearer", **members: Any) -> Any:
    headers = {"Authorization": f"{scheme} {token}"} if token else {}
    request = RequestFactory().post("/", data="{}", content_type="application/json", headers=headers)
    return view.as_view(**members)(request)


def test_view_without_a_resource_takes_tokens_for_the_first(issue: Issue) -> None:
    assert post(Base, issue().access_token).data["resource"] == "http://testserver/mcp"
    assert post(Base, issue(resource=PLAIN).access_token).status_code == 401


def test_view_names_its_resource(issue: Issue) -> None:
    class Plain(Base):
        mcp_resource = "/mcp/plain"

    assert post(Plain, issue(resource=PLAIN).access_token).data["resource"] == PLAIN
    answer = post(Plain, issue().access_token)
    assert answer.status_code == 401
    assert f"{ISSUER}/.well-known/oauth-protected-resource/mcp/plain" in answer["WWW-Authenticate"]


def test_token_of_another_kind_is_left_to_other_classes() -> None:
    class Both(Base):
        authentication_classes = [BearerAuthentication, TokenAuthentication]

    answer = post(Both, "0123456789", scheme="Bearer")
    assert answer.status_code == 401
    assert answer.data["error"] == "invalid_token"
    assert post(Both).data == {"resource": None, "data": {}}


def test_bad_token_is_refused_even_where_none_is_needed() -> None:
    assert post(Base).status_code == 200
    assert post(Base, "0123456789").status_code == 401


def test_challenge_names_the_scopes_of_the_view_too() -> None:
    class Scoped(Base):
        permission_classes = [HasScopes]
        mcp_scopes = ("notes:write",)

    answer = post(Scoped)
    assert answer.status_code == 401
    assert 'scope="mcp notes:write"' in answer["WWW-Authenticate"]
    assert "error" not in answer["WWW-Authenticate"]


@pytest.mark.requirement("resource-one-challenge-for-all-scopes")
@pytest.mark.parametrize("permission", [AllowAny, HasScopes])
def test_scopes_of_view_and_method_are_needed_and_named_at_once(permission: Any, issue: Issue) -> None:
    class Scoped(Base):
        permission_classes = [permission]
        mcp_scopes = {"POST": ["audit"], "DELETE": "notes:drop"}

        @require_scopes("notes:write")
        def post(self, request: Request) -> Response:
            return Response()

    refused = post(Scoped, issue().access_token)
    assert refused.status_code == 403
    assert 'scope="mcp notes:write audit"' in refused["WWW-Authenticate"]
    assert post(Scoped, issue(scope="mcp audit").access_token).status_code == 403
    assert post(Scoped, issue(scope="mcp audit notes:write").access_token).status_code == 200


def test_method_with_scopes_is_not_called_for_whom_another_class_authenticated(user: Any) -> None:
    class Someone(TokenAuthentication):
        def authenticate(self, request: Request) -> Any:
            return user, None

    class Scoped(Base):
        authentication_classes = [Someone, BearerAuthentication]

        @require_scopes("notes:write")
        def post(self, request: Request) -> Response:
            return Response()

    assert post(Scoped).status_code == 403


def test_scopes_permission_lets_nobody_through_whom_another_class_authenticated(user: Any) -> None:
    class Someone(TokenAuthentication):
        def authenticate(self, request: Request) -> Any:
            return user, None

    class Scoped(Base):
        authentication_classes = [Someone]
        permission_classes = [HasScopes]

    assert post(Scoped).status_code == 403


def test_body_is_still_there_after_its_tools_were_looked_at(access_token: str) -> None:
    settings = {"ISSUER": ISSUER, "RESOURCES": {"/mcp": {"TOOL_SCOPES": {"add_note": ["notes:write"]}}}}
    with override_settings(MCP_OIDC=settings):
        assert post(Base, access_token).data["data"] == {}


def test_login_that_is_needed_again_is_a_challenge_with_our_exception_handler(access_token: str) -> None:
    class Upstream(Base):
        def get_exception_handler(self) -> Any:
            return exception_handler

        def post(self, request: Request) -> Response:
            raise UpstreamLoginRequired

    answer = post(Upstream, access_token)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer["WWW-Authenticate"]
    assert answer.data["error"] == "invalid_token"


def test_exception_handler_leaves_other_errors_to_drf(access_token: str) -> None:
    class Broken(Base):
        def get_exception_handler(self) -> Any:
            return exception_handler

        def post(self, request: Request) -> Response:
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        post(Broken, access_token)
