"""`protect` and `ProtectedMixin`, beyond what every entry point does alike."""

from __future__ import annotations

import re
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Group
from django.core.exceptions import ImproperlyConfigured, PermissionDenied
from django.db import connection, transaction
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.test.utils import CaptureQueriesContext
from django.utils.decorators import method_decorator
from django.views import View

from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.resource.context import get_principal
from mcp_oidc.resource.decorators import ProtectedMixin, protect, require_scopes
from tests.resource.entry_points import Call, django_entry_point
from tests.resource.worlds import Issue

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.resource.urls")]

call = django_entry_point("sync")
DJANGO_ENTRY_POINTS = ["sync", "mixin", "drf"]


def test_user_is_read_from_the_database_only_when_it_is_used(access_token: str) -> None:
    @protect("/mcp")
    def view(request: HttpRequest) -> HttpResponse:
        with CaptureQueriesContext(connection) as inside:
            assert request.user.get_username() == "alice"
        return HttpResponse(str(len(inside)))

    assert view(bearer_request(access_token)).content == b"1"


@pytest.mark.requirement("resource-one-query")
@pytest.mark.parametrize("prefix", DJANGO_ENTRY_POINTS)
def test_verification_is_one_query_and_the_first_use_of_a_generation_one_update(prefix: str, access_token: str) -> None:
    entry_point = django_entry_point(prefix)
    request = Call(authorization=f"Bearer {access_token}")
    # Puts the signing keys into this process, and notes the first use.
    with CaptureQueriesContext(connection) as first:
        entry_point(request)
    with CaptureQueriesContext(connection) as second:
        entry_point(request)
    assert _tables(first, "UPDATE") == ["mcp_oidc_connection"]
    # The view asks for the user besides.
    assert _tables(second, "SELECT") == ["mcp_oidc_connection", "auth_user"]
    assert _tables(second, "UPDATE") == []


def test_row_of_verification_holds_no_more_than_is_asked_for(access_token: str) -> None:
    request = Call(authorization=f"Bearer {access_token}")
    call(request)
    with CaptureQueriesContext(connection) as context:
        call(request)
    statement = context.captured_queries[0]["sql"]
    assert "metadata" not in statement
    assert "password" not in statement


def test_principal_does_not_outlive_its_request(access_token: str) -> None:
    assert call(Call(authorization=f"Bearer {access_token}")).status == 200
    with pytest.raises(LookupError, match="BearerMiddleware"):
        get_principal()


@pytest.mark.requirement("resource-options-needs-no-token")
@pytest.mark.parametrize("prefix", ["sync", "mixin"])
def test_options_is_answered_without_a_token_and_without_the_view(prefix: str) -> None:
    answer = django_entry_point(prefix)(Call(method="OPTIONS"))
    assert answer.status == 204
    assert answer.body == b""


def test_login_that_a_project_asks_of_every_view_is_not_asked_of_clients(
    access_token: str, settings: LazySettings
) -> None:
    settings.MIDDLEWARE = [*settings.MIDDLEWARE, "django.contrib.auth.middleware.LoginRequiredMiddleware"]
    assert call(Call()).status == 401
    assert call(Call(authorization=f"Bearer {access_token}")).status == 200


def test_head_needs_a_token_like_get() -> None:
    assert call(Call(method="HEAD")).status == 401


def test_refusal_is_not_stored_by_any_cache() -> None:
    assert call(Call()).headers["cache-control"] == "no-store"


def test_view_may_ask_for_more_scopes_by_itself(access_token: str) -> None:
    answer = call(Call("step-up", authorization=f"Bearer {access_token}"))
    assert answer.status == 403
    assert answer.challenge is not None
    assert 'scope="mcp notes:write"' in answer.challenge
    assert answer.json == {"error": "insufficient_scope", "error_description": "Deleting needs more."}


def test_outage_of_the_identity_provider_behind_a_view_is_worth_a_retry(access_token: str) -> None:
    answer = call(Call("outage", authorization=f"Bearer {access_token}"))
    assert answer.status == 503
    assert answer.json["error"] == "temporarily_unavailable"
    assert int(answer.headers["retry-after"]) > 0


def test_what_a_view_wrote_before_it_was_refused_is_rolled_back(
    access_token: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    @protect("/mcp")
    def view(request: HttpRequest) -> HttpResponse:
        Group.objects.create(name="half done")
        raise UpstreamLoginRequired

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    with transaction.atomic():
        response = view(bearer_request(access_token))
    assert response.status_code == 401
    assert not Group.objects.filter(name="half done").exists()


def test_decorator_keeps_what_the_view_is_called() -> None:
    @protect("/mcp")
    def view(request: HttpRequest) -> HttpResponse:
        """What it does."""
        return HttpResponse()

    assert (view.__name__, view.__doc__) == ("view", "What it does.")


def test_decorator_without_parentheses_says_how_to_write_it() -> None:
    def view(request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    with pytest.raises(TypeError, match=r'@protect\("/mcp"\)'):
        protect(view)  # type: ignore[arg-type]  # the mistake at issue


def test_resource_that_is_not_configured_is_named(access_token: str) -> None:
    with pytest.raises(ImproperlyConfigured, match="'/typo'"):
        protect("/typo")(HttpResponse)(bearer_request(access_token))


def test_override_of_dispatch_does_not_get_round_the_mixin() -> None:
    class Open(ProtectedMixin, View):
        def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            return HttpResponse("inside")

    assert Open.as_view()(RequestFactory().get("/")).status_code == 401


def test_deleted_user_can_be_told_from_a_revoked_token_by_nobody(issue: Issue) -> None:
    token = issue().access_token
    get_user_model().objects.all().delete()
    answer = call(Call(authorization=f"Bearer {token}"))
    revoked = "The access token was revoked, or its user or client may no longer use it."
    assert answer.json == {"error": "invalid_token", "error_description": revoked}


class Notes(View):
    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    @require_scopes("notes:write")
    def post(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()

    @method_decorator(require_scopes("notes:write"))
    def delete(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse()


class MixedNotes(ProtectedMixin, Notes):
    mcp_scopes = {"POST": "audit"}


@require_scopes("notes:write")
def add_note(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@require_scopes("notes:write")
async def async_add_note(request: HttpRequest) -> HttpResponse:
    return HttpResponse()


@pytest.mark.requirement("resource-one-challenge-for-all-scopes")
@pytest.mark.parametrize(
    "view",
    [
        protect("/mcp", scopes=["audit"])(add_note),
        async_to_sync(protect("/mcp", scopes="audit")(async_add_note)),
        protect("/mcp", scopes={"POST": ["audit"]})(add_note),
        protect("/mcp", scopes={"POST": "audit"})(Notes.as_view()),
        MixedNotes.as_view(),
        MixedNotes.as_view(mcp_scopes=("audit",)),
    ],
    ids=["function", "async function", "by method", "class", "mixin", "mixin with scopes of its own"],
)
def test_scopes_of_view_and_method_are_needed_and_named_at_once(view: Any, issue: Issue) -> None:
    refused = view(bearer_request(issue().access_token))
    assert refused.status_code == 403
    assert set(re.search(r'scope="([^"]*)"', refused["WWW-Authenticate"])[1].split()) == {"mcp", "audit", "notes:write"}  # type: ignore[index]  # it has one
    assert view(bearer_request(issue(scope="mcp notes:write").access_token)).status_code == 403
    assert view(bearer_request(issue(scope="mcp audit notes:write").access_token)).status_code == 200


@pytest.mark.requirement("resource-scopes-of-methods")
def test_methods_of_a_class_have_scopes_of_their_own(issue: Issue) -> None:
    view = protect("/mcp")(Notes.as_view())
    headers = {"Authorization": f"Bearer {issue().access_token}"}
    statuses = {
        method: view(RequestFactory().generic(method, "/", headers=headers)).status_code
        for method in ("GET", "HEAD", "POST", "DELETE", "PUT")
    }
    assert statuses == {"GET": 200, "HEAD": 200, "POST": 403, "DELETE": 403, "PUT": 405}


def test_checked_function_checks_wherever_it_is_called_from(access_token: str) -> None:
    @protect("/mcp")
    def view(request: HttpRequest) -> HttpResponse:
        return add_note(request)

    refused = view(bearer_request(access_token))
    assert refused.status_code == 403
    assert 'scope="mcp notes:write"' in refused["WWW-Authenticate"]


def test_checked_function_calls_nothing_for_nobody() -> None:
    with pytest.raises(PermissionDenied, match="access token"):
        add_note(RequestFactory().post("/"))


def test_decorator_of_scopes_says_how_to_write_it() -> None:
    with pytest.raises(TypeError, match=r'@require_scopes\("notes:write"\)'):
        require_scopes(add_note)  # type: ignore[arg-type]  # the mistake at issue
    with pytest.raises(TypeError, match="below @protect"):
        require_scopes("notes:write")(protect("/mcp")(add_note))
    with pytest.raises(ImproperlyConfigured, match="two words"):
        protect("/mcp", scopes=["two words"])


def test_form_that_something_before_us_has_read_is_a_bad_request(access_token: str, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "RESOURCES": {"/mcp": {"TOOL_SCOPES": {"add_note": ["notes:write"]}}}}
    request = RequestFactory().post("/", data={"a": "b"}, headers={"Authorization": f"Bearer {access_token}"})
    assert request.POST["a"] == "b"
    assert protect("/mcp")(Notes.as_view())(request).status_code == 400


def bearer_request(token: str) -> HttpRequest:
    return RequestFactory().post("/", headers={"Authorization": f"Bearer {token}"})


def _tables(context: CaptureQueriesContext, verb: str) -> list[str]:
    """The tables that statements of this kind are about, in their order."""
    statements = [query["sql"] for query in context.captured_queries if query["sql"].startswith(verb)]
    return [re.search(r'(?:FROM|UPDATE) ["`](\w+)["`]', statement)[1] for statement in statements]  # type: ignore[index]  # each has one
