"""The examples of the documentation for entry points that need no package besides."""

from __future__ import annotations

import json

import pytest
from django.test import Client
from django.urls import path

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


def test_example_for_asgi_apps_hands_over_who_calls(access_token: str) -> None:
    application = run_block("protect/asgi.md", 0, app=small_app)["application"]
    assert call_asgi(application, Call()).status == 401
    answer = call_asgi(application, Call(authorization=f"Bearer {access_token}"))
    assert json.loads(answer.body)["resource"] == "http://testserver/mcp"
