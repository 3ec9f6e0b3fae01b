"""The sample as one ASGI application: the SDK's MCP endpoint beside Django.

`python -m uvicorn sample_project.asgi:application` serves both.
"""

from __future__ import annotations

import os
from typing import Any

from django.conf import settings
from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler
from django.core.asgi import get_asgi_application
from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sample_project.settings")
if not settings.SECRET_KEY:
    raise ImproperlyConfigured(
        "Set SESSION_SECRET to 50 random characters or more, or DEBUG=1 while you try things out."
    )
# The admin's static files, so that the sample needs no web server in front. In production, let that serve them.
django_app = ASGIStaticFilesHandler(get_asgi_application())

# Only now: these modules use models, which the line above has loaded.
from sample_project.mcp_server import mcp_app  # noqa: E402


async def application(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """`/mcp` and nothing below it goes to the SDK, and `lifespan`, which the SDK needs and Django's handler refuses."""
    if scope["type"] == "lifespan" or scope.get("path") == "/mcp":
        await mcp_app(scope, receive, send)
    else:
        await django_app(scope, receive, send)
