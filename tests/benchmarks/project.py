"""Settings of the guarded project. DATABASE_URL names its database, VERIFICATION_CACHE how long it remembers."""

from __future__ import annotations

import os

import dj_database_url

SECRET_KEY = "benchmarks-only-" + "k" * 50
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "oauth2_provider", "mcp_oidc"]
DATABASES = {"default": dj_database_url.parse(os.environ["DATABASE_URL"], conn_max_age=600)}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL",
    }
OAUTH2_PROVIDER_APPLICATION_MODEL = "mcp_oidc.Client"
MCP_OIDC = {
    "ISSUER": "http://127.0.0.1",
    "VERIFICATION_CACHE": int(os.environ.get("VERIFICATION_CACHE", "0")),
}
