"""Settings of the provider: what its documentation tells to write."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.upstream.provider_configuration import ID_TOKEN_LIFETIME, ProviderConfiguration

CONFIGURATION = ProviderConfiguration.from_environment()

SECRET_KEY = "another-site-" * 5
ALLOWED_HOSTS = ["127.0.0.1"]
USE_TZ = True
ROOT_URLCONF = "tests.upstream.dot_provider.urls"
LOGIN_URL = "login"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions", "oauth2_provider"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
LOGIN_FORM = '<form method="post">{% csrf_token %}{{ form }}<button>Log in</button></form>'
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "OPTIONS": {
            "context_processors": ["django.template.context_processors.request"],
            "loaders": [
                ("django.template.loaders.locmem.Loader", {"registration/login.html": LOGIN_FORM}),
                "django.template.loaders.app_directories.Loader",
            ],
        },
    }
]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(CONFIGURATION.home) / "provider.sqlite3",
        "OPTIONS": {"transaction_mode": "IMMEDIATE", "timeout": 20},
    }
}
# Tables are made from the models: this database has no past.
MIGRATION_MODULES = dict.fromkeys(("auth", "contenttypes", "sessions", "oauth2_provider"))
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


def lifetime_of(request: Any) -> int:
    """Of the access token for the client that asks."""
    party = CONFIGURATION.relying_party(request.client.client_id)
    assert party is not None
    return party.lifetime


OAUTH2_PROVIDER = {
    "OIDC_ENABLED": True,
    "OIDC_ISS_ENDPOINT": f"{CONFIGURATION.origin}/o",
    "OIDC_RSA_PRIVATE_KEY": CONFIGURATION.keys[0],
    "OIDC_RSA_PRIVATE_KEYS_INACTIVE": list(CONFIGURATION.keys[1:]),
    "OIDC_RP_INITIATED_LOGOUT_ENABLED": True,
    "OAUTH2_VALIDATOR_CLASS": "tests.upstream.dot_provider.validator.Validator",
    "SCOPES": {"openid": "Know who you are", "email": "Know your address", "profile": "Know your name"},
    "ACCESS_TOKEN_EXPIRE_SECONDS": lifetime_of,
    "ID_TOKEN_EXPIRE_SECONDS": ID_TOKEN_LIFETIME,
}
LOGGING = {"version": 1, "disable_existing_loggers": False, "loggers": {"django": {"level": "ERROR"}}}
