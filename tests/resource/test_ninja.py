"""`BearerAuth` of django-ninja, beyond what every entry point does alike."""

from __future__ import annotations

import json
from typing import Any

import pytest

pytest.importorskip("ninja", reason="django-ninja is not installed")

from django.db import connection, transaction
from django.http import HttpRequest
from django.test import Client, RequestFactory
from ninja import NinjaAPI
from ninja.security import APIKeyHeader

from mcp_oidc.errors import InsufficientScope, UpstreamLoginRequired
from mcp_oidc.resource.decorators import require_scopes
from mcp_oidc.resource.ninja import BearerAuth, answer_refusals
from tests.resource.doc_pages import run_block, serving_urls
from tests.resource.worlds import Issue

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.resource.urls")]


class Key(APIKeyHeader):
    param_name = "X-Key"

    def authenticate(self, request: HttpRequest, key: str | None) -> str | None:
        return key


def call(view: Any, token: str = "", *, auth: Any = None, answered: bool = True, **headers: str) -> Any:
    """Call an operation of an API made for it."""
    api = NinjaAPI(docs_url=None, auth=auth or BearerAuth())
    if answered:
        answer_refusals(api)
    api.post("/mcp")(view)
    operation = next(route for route in api.urls[0] if str(route.pattern) == "mcp")
    credentials = {"Authorization": f"Bearer {token}"} if token else {}
    request = RequestFactory().post("/mcp", data=b"{}", content_type="application/json", headers=credentials | headers)
    return operation.callback(request)


def whoami(request: HttpRequest) -> dict[str, str]:
    return {"user": request.user.get_username()}


def test_request_without_a_token_is_left_to_other_classes(access_token: str) -> None:
    def kind(request: HttpRequest) -> dict[str, str]:
        return {"auth": type(request.auth).__name__}

    both = [BearerAuth(), Key()]
    assert json.loads(call(kind, auth=both, **{"X-Key": "a key"}).content) == {"auth": "str"}
    assert json.loads(call(kind, access_token, auth=both).content) == {"auth": "Principal"}
    refused = call(kind, auth=both)
    assert refused.status_code == 401
    assert refused["WWW-Authenticate"].startswith('Bearer scope="mcp"')


def test_bad_token_is_not_left_to_other_classes() -> None:
    assert call(whoami, "0123456789", auth=[BearerAuth(), Key()], **{"X-Key": "a key"}).status_code == 401


def test_operation_without_bearer_tokens_is_refused_as_ninja_does_it() -> None:
    refused = call(whoami, auth=Key())
    assert (refused.status_code, json.loads(refused.content)) == (401, {"detail": "Unauthorized"})
    assert "WWW-Authenticate" not in refused


def test_refusals_that_nobody_answers_are_refusals_still() -> None:
    refused = call(whoami, "0123456789", answered=False)
    assert refused.status_code == 401
    assert "0123456789" not in refused.content.decode()
    assert call(whoami, answered=False).status_code == 401


@pytest.mark.parametrize(
    ("error", "status", "challenge"),
    [
        (UpstreamLoginRequired(), 401, 'Bearer error="invalid_token"'),
        (InsufficientScope("More.", scopes=("notes:write",)), 403, 'Bearer error="insufficient_scope"'),
    ],
)
def test_error_of_ours_in_an_operation_is_answered(
    error: Exception, status: int, challenge: str, access_token: str
) -> None:
    def view(request: HttpRequest) -> None:
        raise error

    answer = call(view, access_token)
    assert answer.status_code == status
    assert answer["WWW-Authenticate"].startswith(challenge)


@pytest.mark.parametrize(
    "scopes", [["notes:write"], {"POST": "notes:write"}, {"GET": ["audit"], "POST": "notes:write"}]
)
def test_operation_has_scopes_of_its_own(scopes: Any, issue: Issue) -> None:
    auth = BearerAuth(scopes=scopes)
    refused = call(whoami, issue().access_token, auth=auth)
    assert refused.status_code == 403
    assert 'scope="mcp notes:write"' in refused["WWW-Authenticate"]
    assert call(whoami, issue(scope="mcp notes:write").access_token, auth=auth).status_code == 200


def test_checked_operation_is_stepped_up(issue: Issue) -> None:
    checked = require_scopes("notes:write")(whoami)
    refused = call(checked, issue().access_token)
    assert refused.status_code == 403
    assert 'scope="mcp notes:write"' in refused["WWW-Authenticate"]
    assert call(checked, issue(scope="mcp notes:write").access_token).status_code == 200


def test_error_of_an_operation_that_takes_no_tokens_is_in_terms_of_the_first_resource() -> None:
    def view(request: HttpRequest) -> None:
        raise UpstreamLoginRequired

    answer = call(view, auth=Key(), **{"X-Key": "a key"})
    assert answer.status_code == 401
    assert 'oauth-protected-resource/mcp"' in answer["WWW-Authenticate"]


def test_error_rolls_back_what_the_operation_wrote(
    access_token: str, user: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def view(request: HttpRequest) -> None:
        type(user).objects.filter(pk=user.pk).update(first_name="changed")
        raise UpstreamLoginRequired

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    with transaction.atomic():
        assert call(view, access_token).status_code == 401
    user.refresh_from_db()
    assert user.first_name == ""


def test_schema_tells_of_bearer_tokens() -> None:
    api = NinjaAPI(docs_url=None, auth=BearerAuth())
    api.post("/mcp")(whoami)
    assert api.get_openapi_schema(path_prefix="/")["components"]["securitySchemes"] == {
        "BearerAuth": {"type": "http", "scheme": "bearer"}
    }


def test_example_of_the_documentation_answers(issue: Issue) -> None:
    with serving_urls(run_block("protect/django-ninja.md", 0)):
        client = Client(enforce_csrf_checks=True)
        token, wide = issue().access_token, issue(scope="mcp notes:write").access_token
        hello = client.post("/mcp", headers={"Authorization": f"Bearer {token}"})
        refused = client.post("/mcp/notes", headers={"Authorization": f"Bearer {token}"})
        added = client.post("/mcp/notes", headers={"Authorization": f"Bearer {wide}"})
    assert hello.json() == {"hello": "alice"}
    assert (refused.status_code, added.status_code) == (403, 200)
