"""Settings and the one view of a project that django-oauth-toolkit protects by itself, with REST framework."""

from __future__ import annotations

import os
from typing import Any

import dj_database_url

SECRET_KEY = "benchmarks-only-" + "k" * 50
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider", "rest_framework"]
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"])}
if DATABASES["default"]["ENGINE"].endswith("postgresql"):
    # Under ASGI each request has a thread context of its own, in which a connection that is kept would leak.
    DATABASES["default"]["OPTIONS"] = {"pool": {"min_size": 2, "max_size": 8}}
ROOT_URLCONF = "tests.benchmarks.dot_project"
MIDDLEWARE: list[str] = []


def __getattr__(name: str) -> Any:
    if name != "urlpatterns":
        raise AttributeError(name)
    # As a URLconf the module is asked for this once Django is set up.
    from django.urls import path
    from oauth2_provider.contrib.rest_framework import OAuth2Authentication
    from rest_framework.permissions import IsAuthenticated
    from rest_framework.response import Response
    from rest_framework.views import APIView

    class Hello(APIView):
        authentication_classes = (OAuth2Authentication,)
        permission_classes = (IsAuthenticated,)

        def get(self, request: Any) -> Any:
            return Response({})

    return [path("mcp", Hello.as_view())]
