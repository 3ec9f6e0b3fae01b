"""The examples of the documentation for entry points that need no package besides."""

from __future__ import annotations

import json

import pytest
from django.test import Client, override_settings
from django.urls import path

from tests.factories import ISSUER
from tests.resource.doc_pages import run_block, serving_urls
from tests.resource.entry_points import Call, call_asgi, small_app
from tests.resource.worlds import Issue

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.urls("tests.resource.urls")]


@pytest.mark.parametrize(("page", "view", "scope"), [("django", "mcp", "mcp"), ("drf", "Notes", "mcp notes:write")])
def test_example_for_views_greets_who_calls(page: str, view: str, scope: str, issue: Issue) -> None:
    example = run_block(f"protect/{page}.md", 0)[view]
    served = example.as_view() if isinstance(example, type) else example
    with serving_urls({"urlpatterns": [path("mcp", served)]}):
        client = Client(enforce_csrf_checks=True)
        refused = client.post("/mcp")
        token = issue(scope=scope).access_token
        greeted = client.post("/mcp", headers={"Authorization": f"Bearer {token}"})
    assert refused.status_code == 401
    assert refused["WWW-Authenticate"].startswith(f'Bearer scope="{scope}", resource_metadata=')
    assert greeted.json() == {"hello": "alice"}


def test_example_of_scopes_steps_up_where_the_method_needs_it(issue: Issue) -> None:
    settings = run_block("protect/scopes.md", 0)["MCP_OIDC"]
    example = run_block("protect/scopes.md", 1)
    narrow, wide = issue().access_token, issue(scope="mcp notes:admin").access_token
    views = {"notes": example["Notes"].as_view(), "add": example["add_note"]}
    with (
        override_settings(MCP_OIDC={"ISSUER": ISSUER, **settings}),
        serving_urls({"urlpatterns": [path(name, view) for name, view in views.items()]}),
    ):
        answers = [
            Client().generic(method, url, "{}", "application/json", headers={"Authorization": f"Bearer {token}"})
            for token in (narrow, wide)
            for method, url in (("GET", "/notes"), ("POST", "/notes"), ("POST", "/add"))
        ]
    assert [answer.status_code for answer in answers] == [200, 403, 403, 200, 200, 200]
    assert 'scope="mcp notes:write"' in answers[1]["WWW-Authenticate"]


def test_example_for_asgi_apps_hands_over_who_calls(access_token: str) -> None:
    application = run_block("protect/asgi.md", 0, app=small_app)["application"]
    assert call_asgi(application, Call()).status == 401
    answer = call_asgi(application, Call(authorization=f"Bearer {access_token}"))
    assert json.loads(answer.body)["resource"] == "http://testserver/mcp"
