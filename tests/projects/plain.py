"""Settings of a project with nothing of its own. DATABASE_URL names its database, APPS the order of INSTALLED_APPS."""

from __future__ import annotations

import os

import dj_database_url

SECRET_KEY = "tests-only-" + "k" * 50
USE_TZ = True
ROOT_URLCONF = "tests.projects.urls"
STATIC_URL = "/static/"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "oauth2_provider",
    "mcp_oidc",
]
INSTALLED_APPS = os.environ["APPS"].split(",") if "APPS" in os.environ else APPS
MIDDLEWARE = [
    "mcp_oidc.server.cors.CorsMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
DATABASES = {"default": dj_database_url.parse(os.environ.get("DATABASE_URL", "sqlite:///:memory:"))}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL;",
    }
LOGIN_URL = "admin:login"

OAUTH2_PROVIDER_APPLICATION_MODEL = "mcp_oidc.Client"
MCP_OIDC = {"ISSUER": "https://mcp.example.com"}
