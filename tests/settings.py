"""Settings of the test project. DATABASE_URL and REDIS_URL point it at other services."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import dj_database_url

BASE_DIR = Path(__file__).resolve().parent

SECRET_KEY = "tests-only-" + "k" * 50
DEBUG = False
ALLOWED_HOSTS = ["testserver", "localhost", "127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "tests.urls"
STATIC_URL = "/static/"

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "oauth2_provider",
    "mcp_oidc",
]
MIDDLEWARE = [
    "mcp_oidc.server.cors.CorsMiddleware",
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
# A file and not memory, whose shared cache locks whole tables against threads. One for each process, so that test runs
# do not meet; Django deletes it afterwards.
SQLITE_FILE = Path(tempfile.gettempdir()) / f"mcp_oidc-tests-{os.getpid()}.sqlite3"
SQLITE = {
    "ENGINE": "django.db.backends.sqlite3",
    "NAME": SQLITE_FILE,
    # As the documentation tells projects to set it, but for `synchronous`: no test survives a power cut.
    "OPTIONS": {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=OFF",
    },
    "TEST": {"NAME": SQLITE_FILE},
}
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"]) if "DATABASE_URL" in os.environ else SQLITE}
if DATABASES["default"]["ENGINE"] == "django.db.backends.postgresql":
    DATABASES["default"]["OPTIONS"] = {"options": "-c synchronous_commit=off"}
if "REDIS_URL" in os.environ:
    # A database of Redis for each worker: they clear their caches between tests.
    server, _, number = os.environ["REDIS_URL"].rpartition("/")
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
    location = f"{server}/{int(number) + worker}"
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": location}}
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

OAUTH2_PROVIDER_APPLICATION_MODEL = "mcp_oidc.Client"
LOGIN_URL = "/accounts/login/"
MCP_OIDC = {
    "ISSUER": "http://testserver",
    "RESOURCES": {"/mcp": {"NAME": "Test tools"}, "/mcp/plain": {}},
    "SCOPES": {"mcp": "Use this MCP server as you", "notes:write": "Write notes"},
}
