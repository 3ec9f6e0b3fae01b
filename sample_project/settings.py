"""Settings of the sample: all that differs between installations comes from the environment.

BASE_URL, OIDC_ISSUER, OIDC_CLIENT_ID, OIDC_CLIENT_SECRET, OIDC_SCOPES, SESSION_SECRET, JWKS, DATABASE_URL, REDIS_URL,
DEBUG, ALLOWED_HOSTS, CORS_ORIGINS; docs/sample.md says what each means.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dj_database_url

BASE_DIR = Path(__file__).resolve().parent.parent
env = os.environ.get

DEBUG = env("DEBUG", "").lower() in ("1", "true", "yes")
BASE_URL = env("BASE_URL", "http://localhost:8000").rstrip("/")
# Empty is refused by `asgi.py`, and by Django for every command that needs it.
SECRET_KEY = env("SESSION_SECRET") or ("only-for-development-" * 3 if DEBUG else "")
ALLOWED_HOSTS = [host for host in env("ALLOWED_HOSTS", "").split(",") if host] or [urlsplit(BASE_URL).hostname or ""]
CSRF_TRUSTED_ORIGINS = [BASE_URL]
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = BASE_URL.startswith("https://")
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = "sample_session", "sample_csrf"
USE_TZ = True

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "mcp_oidc",
    "oauth2_provider",
    "sample_project.apps.SampleConfig",
]
MIDDLEWARE = [
    "mcp_oidc.server.cors.CorsMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "mcp_oidc.upstream.backend.UpstreamBackend",
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
ROOT_URLCONF = "sample_project.urls"
ASGI_APPLICATION = "sample_project.asgi.application"
STATIC_URL = "static/"
LOGIN_URL = "admin:login"

DATABASES: dict[str, Any] = {
    "default": dj_database_url.parse(env("DATABASE_URL", f"sqlite:///{BASE_DIR / 'demo.sqlite3'}"))
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    # Several workers on SQLite's defaults get "database is locked": each transaction takes the write lock at its
    # beginning and waits for it, and readers do not wait at all.
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
    }
if env("REDIS_URL"):
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": env("REDIS_URL")}}

OAUTH2_PROVIDER_APPLICATION_MODEL = "mcp_oidc.Client"
MCP_OIDC: dict[str, Any] = {
    "ISSUER": BASE_URL,
    "RESOURCES": {
        "/mcp": {"NAME": "Sample tools", "TOOL_SCOPES": {"add_note": ["notes:write"]}},
        "/mcp/plain": {"NAME": "Plain sample"},
    },
    "SCOPES": {"mcp": "Use the sample's tools as you", "notes:write": "Add notes in your name"},
    "CORS_ORIGINS": [origin for origin in env("CORS_ORIGINS", "").split(",") if origin],
}
if env("OIDC_ISSUER"):
    MCP_OIDC["UPSTREAM"] = {
        "ISSUER": env("OIDC_ISSUER"),
        "CLIENT_ID": env("OIDC_CLIENT_ID", ""),
        "CLIENT_SECRET": env("OIDC_CLIENT_SECRET", ""),
        "SCOPES": env("OIDC_SCOPES", "openid email profile"),
    }

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{levelname} {name} {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
    "loggers": {"mcp_oidc": {"level": "INFO"}},
}
