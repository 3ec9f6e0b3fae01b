"""System checks: a project that is set up right hears nothing, and each mistake has its ID and the line to write.

No test here may use the database: pytest-django refuses it, as the checks must do without.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import certifi
import pytest
from django.core.checks import CheckMessage, run_checks
from jwcrypto.jwk import JWK

from mcp_oidc.adapter import Adapter
from mcp_oidc.checks.values import KEYS, RESOURCE_KEYS, UPSTREAM_KEYS
from mcp_oidc.conf import Settings, app_settings
from mcp_oidc.protocol.jwks import generate_jwk
from mcp_oidc.server.cors import CorsMiddleware

UPSTREAM = {"ISSUER": "https://login.example.com", "CLIENT_ID": "mcp", "CLIENT_SECRET": "idp-secret"}
METADATA = {
    "authorization_endpoint": "https://login.example.com/authorize",
    "token_endpoint": "https://login.example.com/token",
    "jwks_uri": "https://login.example.com/keys",
}
CLIENT_KEY = {**generate_jwk("RS256").private, "alg": "PS256", "x5t#S256": "thumbprint-of-a-certificate"}
NONSENSE: list[Any] = [
    None,
    True,
    0,
    -1,
    1.5,
    "",
    "nonsense",
    b"bytes",
    [],
    [1],
    [[]],
    [""],
    {},
    {1: 2},
    {"x": []},
    Ellipsis,
]


class OtherAdapter:
    """Not an adapter."""


class OwnAdapter(Adapter):
    """A project's own."""


class OwnCorsMiddleware(CorsMiddleware):
    """A project's own."""


@pytest.fixture
def project(settings: Any) -> Any:
    """A project that is set up right, for production too."""
    settings.MCP_OIDC = {"ISSUER": "https://mcp.example.com", "UPSTREAM": UPSTREAM}
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": "redis://x"}}
    return settings


def messages(*, deploy: bool = False) -> list[CheckMessage]:
    return run_checks(tags=["mcp_oidc"], include_deployment_checks=deploy)


def only_message(*, deploy: bool = False) -> CheckMessage:
    """The one thing that is wrong. Its hint must be there: it holds the line to write."""
    (message,) = messages(deploy=deploy)
    assert message.hint
    return message


def put(project: Any, **values: Any) -> None:
    project.MCP_OIDC = {**project.MCP_OIDC, **values}


def test_a_project_that_is_set_up_right_hears_nothing(project: Any) -> None:
    assert messages(deploy=True) == []


def test_the_checks_use_no_network(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any) -> None:
        raise AssertionError("a check opened a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    put(project, ISSUER="http://192.0.2.1")
    assert only_message(deploy=True).id == "mcp_oidc.W301"


@pytest.mark.requirement("checks-forgotten-line")
def test_a_missing_client_model_is_named(project: Any) -> None:
    del project.OAUTH2_PROVIDER_APPLICATION_MODEL
    message = only_message()
    assert message.id == "mcp_oidc.E001"
    assert 'OAUTH2_PROVIDER_APPLICATION_MODEL = "mcp_oidc.Client"' in str(message.hint)


@pytest.mark.parametrize(
    "model", ["auth.User", "oauth2_provider.Application", "no.Such", "nonsense", "mcp_oidc.Consent"]
)
def test_a_client_model_that_does_not_extend_ours_is_refused(project: Any, model: str) -> None:
    project.OAUTH2_PROVIDER_APPLICATION_MODEL = model
    assert only_message().id == "mcp_oidc.E002"


@pytest.mark.requirement("checks-forgotten-line")
@pytest.mark.parametrize(
    ("setting", "line", "identifier"),
    [
        ("INSTALLED_APPS", "django.contrib.sessions", "E005"),
        ("MIDDLEWARE", "django.contrib.sessions.middleware.SessionMiddleware", "E006"),
        ("MIDDLEWARE", "django.contrib.auth.middleware.AuthenticationMiddleware", "E007"),
        ("MIDDLEWARE", "mcp_oidc.server.cors.CorsMiddleware", "E008"),
        ("AUTHENTICATION_BACKENDS", "mcp_oidc.upstream.backend.UpstreamBackend", "E011"),
    ],
)
def test_a_forgotten_line_is_named_with_the_line(project: Any, setting: str, line: str, identifier: str) -> None:
    setattr(project, setting, [entry for entry in getattr(project, setting) if entry != line])
    message = only_message()
    assert message.id == f"mcp_oidc.{identifier}"
    assert line in str(message.hint)
    assert setting in str(message.hint)


def test_a_cors_middleware_below_the_common_one_is_named(project: Any) -> None:
    first, *others = project.MIDDLEWARE
    project.MIDDLEWARE = [*others, first]
    assert only_message().id == "mcp_oidc.E009"


def test_a_subclass_of_the_cors_middleware_will_do(project: Any) -> None:
    project.MIDDLEWARE = ["tests.test_checks.OwnCorsMiddleware", *project.MIDDLEWARE[1:]]
    assert messages() == []


@pytest.mark.requirement("checks-forgotten-line")
def test_urls_that_are_not_included_are_named_with_the_line(project: Any) -> None:
    project.ROOT_URLCONF = "django.contrib.auth.urls"
    message = only_message()
    assert message.id == "mcp_oidc.E010"
    assert 'path("", include("mcp_oidc.urls"))' in str(message.hint)


@pytest.mark.parametrize(
    "login_url", ["/no/such/page", "/no/such/page?x=1", "no-such-view", "mcp_oidc:login", "/oauth/login?x=1"]
)
def test_no_way_to_log_in_is_named(project: Any, login_url: str) -> None:
    put(project, UPSTREAM=None)
    project.LOGIN_URL = login_url
    assert only_message().id == "mcp_oidc.W012"


@pytest.mark.parametrize("login_url", ["/admin/login/", "/admin/login/?x=1", "admin:login", "https://sso.example.com/"])
def test_a_login_page_of_the_project_is_a_way_to_log_in(project: Any, login_url: str) -> None:
    put(project, UPSTREAM=None)
    project.LOGIN_URL = login_url
    project.AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend"]
    assert messages() == []


def test_every_key_has_an_id_of_its_own() -> None:
    public = {name for name, value in vars(Settings).items() if isinstance(value, property) and name.isupper()}
    assert set(KEYS) == public
    assert len({identifier for identifier, _ in KEYS.values()}) == len(KEYS)


@pytest.mark.parametrize("value", ["mcp", ["ISSUER"], 5])
def test_settings_that_are_no_dict_are_named(project: Any, value: Any) -> None:
    project.MCP_OIDC = value
    project.LOGIN_URL = "admin:login"
    assert only_message().id == "mcp_oidc.E100"


@pytest.mark.parametrize("key", KEYS)
def test_no_value_whatever_makes_a_check_fail(project: Any, key: str) -> None:
    expected = {f"mcp_oidc.{KEYS[key][0]}", "mcp_oidc.W012", "mcp_oidc.E119", "mcp_oidc.W201"}
    for value in NONSENSE:
        put(project, **{key: value})
        found = {message.id for message in messages(deploy=True)}
        assert found <= expected, repr(value)


@pytest.mark.parametrize("key", UPSTREAM_KEYS)
def test_no_value_below_upstream_makes_a_check_fail(project: Any, key: str) -> None:
    for value in NONSENSE:
        put(project, UPSTREAM={**UPSTREAM, key: value})
        found = {message.id for message in messages()}
        assert found <= {"mcp_oidc.E102"}, repr(value)


@pytest.mark.parametrize("key", RESOURCE_KEYS)
def test_no_value_below_a_resource_makes_a_check_fail(project: Any, key: str) -> None:
    for value in NONSENSE:
        put(project, RESOURCES={"/mcp": {key: value}})
        found = {message.id for message in messages()}
        assert found <= {"mcp_oidc.E103", "mcp_oidc.W201", "mcp_oidc.W203"}, repr(value)


@pytest.mark.requirement("checks-wrong-value")
@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ISSUER", None),
        ("ISSUER", "mcp.example.com"),
        ("ISSUER", "https://mcp.example.com/"),
        ("ISSUER", "https://mcp.example.com?x=1"),
        ("ISSUER", "https://[a"),
        ("UPSTREAM", "https://login.example.com"),
        ("UPSTREAM", {"ISSUER": "https://login.example.com"}),
        ("UPSTREAM", {**UPSTREAM, "ISSUER": "login.example.com"}),
        ("UPSTREAM", {**UPSTREAM, "AUTH_PARAMS": "audience=x"}),
        ("UPSTREAM", {**UPSTREAM, "AUTH_PARAMS": {"hd": None}}),
        ("UPSTREAM", {**UPSTREAM, "AUTH_PARAMS": {"hd": ["a.example", "b.example"]}}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_SECRET": 5}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_CLASS": "no.such.Class"}),
        ("UPSTREAM", {**UPSTREAM, "METADATA": "https://login.example.com/.well-known/openid-configuration"}),
        ("UPSTREAM", {**UPSTREAM, "METADATA": {}}),
        ("UPSTREAM", {**UPSTREAM, "NAME": "local"}),
        ("UPSTREAM", {**UPSTREAM, "NAME": "two words"}),
        ("UPSTREAM", {**UPSTREAM, "NAME": "x" * 65}),
        ("UPSTREAM", {**UPSTREAM, "LINK_BY_EMAIL": "no"}),
        ("UPSTREAM", {**UPSTREAM, "UPDATE_USERS": 1}),
        ("UPSTREAM", {**UPSTREAM, "REVALIDATE_AFTER": -1}),
        ("UPSTREAM", {**UPSTREAM, "REVALIDATE_STRICT": None}),
        ("UPSTREAM", {**UPSTREAM, "METADATA": {**METADATA, "token_endpoint": "http://login.example.com/token"}}),
        ("UPSTREAM", {**UPSTREAM, "METADATA": {**METADATA, "issuer": "https://other.example.com"}}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_AUTH": "basic"}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_AUTH": "private_key_jwt"}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_SECRET": "", "CLIENT_AUTH": "client_secret_post"}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_KEY": "not JSON"}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_KEY": generate_jwk("ES256").public}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_KEY": {"keys": [generate_jwk("ES256").private]}}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_KEY": {**generate_jwk("ES256").private, "alg": "PS256"}}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_KEY": {**generate_jwk("ES256").private, "kid": 7}}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_KEY": {"kty": "oct", "k": "c2VjcmV0"}}),
        ("UPSTREAM", {**UPSTREAM, "PROXY": "proxy.example.com:3128"}),
        ("UPSTREAM", {**UPSTREAM, "PROXY": "socks5://proxy.example.com"}),
        ("UPSTREAM", {**UPSTREAM, "PROXY": "http://proxy.example.com:port"}),
        ("UPSTREAM", {**UPSTREAM, "CA_BUNDLE": "/no/such/file"}),
        ("UPSTREAM", {**UPSTREAM, "CA_BUNDLE": __file__}),
        ("UPSTREAM", {**UPSTREAM, "TIMEOUT": 0}),
        ("UPSTREAM", {**UPSTREAM, "TIMEOUT": 1.5}),
        ("RESOURCES", {}),
        ("RESOURCES", {"mcp": {}}),
        ("RESOURCES", {"/mcp": "My tools"}),
        ("RESOURCES", {"/mcp": {"SCOPES": [5]}}),
        ("RESOURCES", {"/mcp": {"TOOL_SCOPES": {"add": [5]}}}),
        ("RESOURCES", {"/mcp": {"TOOL_SCOPES": {5: ["mcp"]}}}),
        ("RESOURCES", {"/mcp": {"METHOD_SCOPES": ["GET"]}}),
        ("RESOURCES", {"/mcp": {"METHOD_SCOPES": {"get": ["mcp"]}}}),
        ("IMPLIED_SCOPES", ["mcp"]),
        ("IMPLIED_SCOPES", {"two words": ["mcp"]}),
        ("IMPLIED_SCOPES", {"mcp": ["unheard-of"]}),
        ("IMPLIED_SCOPES", {"unheard-of": ["mcp"]}),
        ("IMPLIED_SCOPES", {"mcp": ["mcp"]}),
        ("IMPLIED_SCOPES", {"mcp": ["openid"]}),
        ("SCOPES", ["mcp"]),
        ("SCOPES", {"two words": "Two"}),
        ("SCOPES", {"mcp": None}),
        ("JWKS", "/no/such/file"),
        ("JWKS", "{}"),
        ("ACCESS_TOKEN_LIFETIME", 0),
        ("REFRESH_TOKEN_LIFETIME", "30 days"),
        ("AUTHORIZATION_CODE_LIFETIME", 60.0),
        ("REFRESH_TOKEN_GRACE", -1),
        ("REFRESH_TOKEN_RETRY", None),
        ("REFRESH_TOKEN_REPLAY", "ignore"),
        ("CONNECTION_MAX_AGE", 0),
        ("CONSENT", "sometimes"),
        ("CONSENT_REMEMBER_LOCAL", "yes"),
        ("VERIFICATION_CACHE", -1),
        ("REGISTRATION", False),
        ("REDIRECT_SCHEMES", "cursor"),
        ("REDIRECT_SCHEMES", ["javascript"]),
        ("REDIRECT_SCHEMES", ["https"]),
        ("REDIRECT_SCHEMES", ["http"]),
        ("REDIRECT_SCHEMES", ["cursor://"]),
        ("REDIRECT_SCHEMES", ["Cursor"]),
        ("CORS_ORIGINS", "https://app.example.com"),
        ("CORS_ORIGINS", ["https://app.example.com/"]),
        ("CORS_ORIGINS", ["*"]),
        ("ENCRYPTION_KEYS", "key"),
        ("ENCRYPTION_KEYS", [""]),
        ("ADAPTER", "no.such.Class"),
        ("ADAPTER", "os.path.join"),
        ("ADAPTER", "tests.test_checks.OtherAdapter"),
        ("ADAPTER", OtherAdapter),
        ("REGISTRATIONS_PER_ADDRESS", -1),
        ("REGISTRATIONS_PER_HOUR", None),
        ("CLIENT_UNUSED_LIFETIME", 0),
        ("CLIENT_LIFETIME", "90 days"),
        ("EVENT_LIFETIME", 0),
        ("AUDIT_REFRESHES", "yes"),
        ("METRICS_TOKEN", ""),
        ("METRICS_TOKEN", "x" * 31),
        ("METRICS_TOKEN", "ü" * 40),
    ],
)
def test_a_wrong_value_is_named_with_a_right_one(project: Any, key: str, value: Any) -> None:
    put(project, **{key: value})
    number, example = KEYS[key]
    found = {message.id: message for message in messages()}
    assert set(found) == {f"mcp_oidc.{number}"}
    assert f'"{key}": {example}' in str(found[f"mcp_oidc.{number}"].hint)
    assert key in found[f"mcp_oidc.{number}"].msg


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("ISSUER", "https://mcp.example.com/auth"),
        ("ISSUER", "http://localhost:8000"),
        ("RESOURCES", {"https://tools.example.com/mcp": {}, "/mcp": {"SCOPES": "mcp"}}),
        ("UPSTREAM", {**UPSTREAM, "METADATA": METADATA}),
        ("UPSTREAM", {**UPSTREAM, "NAME": "localhost", "REVALIDATE_AFTER": None, "LINK_BY_EMAIL": True}),
        ("UPSTREAM", {**UPSTREAM, "METADATA": {**METADATA, "issuer": UPSTREAM["ISSUER"]}, "TIMEOUT": 5}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_SECRET": "", "CLIENT_AUTH": "none"}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_SECRET": "", "CLIENT_KEY": generate_jwk("EdDSA").private}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_AUTH": "private_key_jwt", "CLIENT_KEY": CLIENT_KEY}),
        ("UPSTREAM", {**UPSTREAM, "CLIENT_KEY": json.dumps(CLIENT_KEY)}),
        ("UPSTREAM", {**UPSTREAM, "PROXY": "http://user:pass%20word@proxy.example.com:3128"}),
        ("UPSTREAM", {**UPSTREAM, "PROXY": "https://[::1]:8080"}),
        ("UPSTREAM", {**UPSTREAM, "CA_BUNDLE": certifi.where()}),
        ("UPSTREAM", {**UPSTREAM, "CA_BUNDLE": Path(certifi.where())}),
        ("JWKS", {"keys": [generate_jwk("ES256").private]}),
        ("CONNECTION_MAX_AGE", None),
        ("REDIRECT_SCHEMES", ["com.example.app", "my-app"]),
        ("CORS_ORIGINS", ["https://app.example.com", "http://localhost:3000"]),
        ("ENCRYPTION_KEYS", ["one", "two"]),
        ("ADAPTER", OwnAdapter),
        ("ADAPTER", "tests.test_checks.OwnAdapter"),
    ],
)
def test_a_right_value_is_not_found_fault_with(project: Any, key: str, value: Any) -> None:
    put(project, **{key: value})
    assert messages() == []


@pytest.mark.parametrize("key", ["NAME", "METADATA", "CLIENT_AUTH", "TIMEOUT", "TENANTS", "UPDATE_USERS", "CA_BUNDLE"])
def test_a_wrong_value_below_upstream_is_named_by_its_whole_path(project: Any, key: str) -> None:
    put(project, UPSTREAM={**UPSTREAM, key: -1})
    assert f"MCP_OIDC['UPSTREAM']['{key}']" in only_message().msg


@pytest.mark.requirement("checks-tell-no-key")
@pytest.mark.parametrize(
    "values",
    [
        {"PROXY": "ftp://user:a-secret@proxy.example.com"},
        {"CLIENT_KEY": "{'d': 'a-secret'}"},
        {"CLIENT_KEY": {**generate_jwk("ES256").public, "d": "a-secret"}},
        {"CLIENT_KEY": {"kty": "oct", "k": "a-secret"}},
        {"CLIENT_SECRET": ["a-secret"]},
    ],
)
def test_a_fault_of_a_secret_does_not_repeat_it(project: Any, values: dict[str, Any]) -> None:
    put(project, UPSTREAM={**UPSTREAM, **values})
    message = only_message()
    assert message.id == "mcp_oidc.E102"
    assert next(iter(values)) in message.msg
    assert "a-secret" not in f"{message.msg} {message.hint}"


def test_the_issuer_may_be_left_out_while_debugging(project: Any) -> None:
    put(project, ISSUER=None)
    assert only_message().id == "mcp_oidc.E101"
    project.DEBUG = True
    assert messages() == []


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"REGISTRATON": "closed"}, '"REGISTRATION"'),
        ({"consent": "always"}, '"CONSENT"'),
        ({"UPSTREAM": {**UPSTREAM, "SCOPE": "openid"}}, '"SCOPES"'),
        ({"RESOURCES": {"/mcp": {"DOCUMENTION": "https://example.com"}}}, '"DOCUMENTATION"'),
        ({"QQQ": 1}, "ISSUER"),
    ],
)
def test_a_mistyped_key_is_an_error_that_names_the_nearest(project: Any, written: dict[str, Any], meant: str) -> None:
    put(project, **written)
    message = only_message()
    assert message.id == "mcp_oidc.E119"
    assert meant in str(message.hint)


@pytest.mark.parametrize(
    ("method", "hint"),
    [("resource/read", 'Did you mean "resources/read"?'), ("Tools/call", 'Did you mean "tools/call"?'), ("PURGE", "")],
)
def test_a_method_that_no_client_uses_is_named(project: Any, method: str, hint: str) -> None:
    put(project, RESOURCES={"/mcp": {"METHOD_SCOPES": {method: ["mcp"]}}})
    message = only_message()
    assert message.id == "mcp_oidc.W203"
    assert hint in str(message.hint)
    put(project, RESOURCES={"/mcp": {"METHOD_SCOPES": {"resources/read": ["mcp"], "DELETE": ["mcp"]}}})
    assert messages() == []


def test_scopes_that_imply_each_other_are_named_in_their_order(project: Any) -> None:
    put(project, SCOPES={"a": "A", "b": "B"}, IMPLIED_SCOPES={"a": ["b"], "b": ["a"]})
    assert "a -> b -> a" in only_message().msg


@pytest.mark.parametrize(
    "options",
    [
        {"SCOPES": ["mcp", "notes:write"]},
        {"TOOL_SCOPES": {"add": ["notes:write"]}},
        {"METHOD_SCOPES": {"GET": ["notes:write"]}},
    ],
)
def test_a_scope_that_users_could_not_understand_is_named(project: Any, options: dict[str, Any]) -> None:
    put(project, RESOURCES={"/mcp": options})
    message = only_message()
    assert message.id == "mcp_oidc.W201"
    assert '"notes:write"' in str(message.hint)
    put(project, SCOPES={"mcp": "Use it", "notes:write": "Write notes"})
    assert messages() == []


def _pem(tmp_path: Path) -> str:
    return JWK.generate(kty="RSA", size=2048).export_to_pem(private_key=True, password=None).decode()


def _list_of_keys(tmp_path: Path) -> str:
    return json.dumps([generate_jwk("ES256").private])


def _short_key(tmp_path: Path) -> str:
    return str(JWK.generate(kty="RSA", size=1024).export_private())


def _broken_json(tmp_path: Path) -> str:
    return json.dumps({"keys": [generate_jwk("ES256").private]})[:-1]


def _two_of_one_kid(tmp_path: Path) -> str:
    return json.dumps({"keys": [{**generate_jwk("ES256").private, "kid": "same"} for _ in range(2)]})


def _public_key(tmp_path: Path) -> str:
    return json.dumps({"keys": [generate_jwk("ES256").public]})


def _second_is_public(tmp_path: Path) -> str:
    return json.dumps({"keys": [generate_jwk("ES256").private, generate_jwk("EdDSA").public]})


def _symmetric_key(tmp_path: Path) -> str:
    return json.dumps({"keys": [json.loads(JWK.generate(kty="oct", size=256).export())]})


def _halves_of_two_keys(tmp_path: Path) -> str:
    return json.dumps({**generate_jwk("EdDSA").private, "x": generate_jwk("EdDSA").private["x"]})


def _encrypted_pem(tmp_path: Path) -> str:
    return JWK.generate(kty="EC", crv="P-256").export_to_pem(private_key=True, password=b"password").decode()


def _file_of_pem(tmp_path: Path) -> str:
    path = tmp_path / "key.pem"
    path.write_text(_pem(tmp_path))
    return str(path)


def _binary_file(tmp_path: Path) -> str:
    path = tmp_path / "keys.json"
    path.write_bytes(b"\xff\xfe\x00")
    return str(path)


@pytest.mark.requirement("checks-tell-no-key")
@pytest.mark.requirement("unusable-keys")
@pytest.mark.parametrize(
    "make",
    [
        _pem,
        _encrypted_pem,
        _file_of_pem,
        _list_of_keys,
        _short_key,
        _broken_json,
        _two_of_one_kid,
        _public_key,
        _second_is_public,
        _symmetric_key,
        _halves_of_two_keys,
        _binary_file,
    ],
)
def test_keys_that_cannot_be_used_are_named_without_repeating_them(
    project: Any, tmp_path: Path, make: Callable[[Path], str]
) -> None:
    source = make(tmp_path)
    put(project, JWKS=source)
    message = only_message()
    assert message.id == "mcp_oidc.E105"
    assert "generate_jwks" in message.msg or "path of a file" in message.msg
    told = f"{message.msg} {message.hint}"
    assert not any(source[start : start + 20] in told for start in range(len(source) - 19))


def test_keys_in_the_environment_are_looked_at_too(project: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JWKS", "{}")
    assert only_message().id == "mcp_oidc.E105"


OPTIONS = {"transaction_mode": "IMMEDIATE", "init_command": "PRAGMA journal_mode=WAL;", "timeout": 20}


@pytest.mark.parametrize("option", OPTIONS)
def test_sqlite_with_a_default_that_locks_is_named_with_the_option(
    monkeypatch: pytest.MonkeyPatch, project: Any, option: str
) -> None:
    options = {name: value for name, value in OPTIONS.items() if name != option}
    _use_database(monkeypatch, {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3", "OPTIONS": options})
    message = only_message()
    assert message.id == "mcp_oidc.W202"
    assert f'"{option}"' in str(message.hint)
    assert not any(f'"{name}"' in str(message.hint) for name in options)


@pytest.mark.parametrize(
    "database",
    [
        {"ENGINE": "django.db.backends.sqlite3", "NAME": "db.sqlite3", "OPTIONS": OPTIONS},
        {"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:", "OPTIONS": {}},
        {"ENGINE": "django.db.backends.postgresql", "NAME": "db", "OPTIONS": {}},
    ],
    ids=["told", "in memory", "another database"],
)
def test_a_database_that_does_not_lock_is_not_found_fault_with(
    monkeypatch: pytest.MonkeyPatch, project: Any, database: dict[str, Any]
) -> None:
    _use_database(monkeypatch, database)
    assert messages() == []


def _use_database(monkeypatch: pytest.MonkeyPatch, database: dict[str, Any]) -> None:
    # Not by override_settings, which Django warns of for DATABASES.
    monkeypatch.setattr(
        "mcp_oidc.checks.databases.connections", type("Connections", (), {"settings": {"default": database}})
    )


def test_deployment_without_https_is_warned_of(project: Any) -> None:
    put(project, ISSUER="http://mcp.example.com")
    assert messages() == []
    assert only_message(deploy=True).id == "mcp_oidc.W301"
    put(project, ISSUER="http://127.0.0.1:8000")
    assert messages(deploy=True) == []


def test_deployment_without_consent_is_warned_of(project: Any) -> None:
    put(project, CONSENT="never")
    assert messages() == []
    assert only_message(deploy=True).id == "mcp_oidc.W302"


def test_deployment_with_a_cache_for_each_process_is_warned_of(project: Any) -> None:
    project.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert messages() == []
    assert only_message(deploy=True).id == "mcp_oidc.W303"


def test_deployment_that_remembers_verifications_for_long_is_warned_of(project: Any) -> None:
    put(project, VERIFICATION_CACHE=61)
    assert messages() == []
    assert only_message(deploy=True).id == "mcp_oidc.W304"
    put(project, VERIFICATION_CACHE=60)
    assert messages(deploy=True) == []


def test_scopes_may_be_written_as_one_string(project: Any) -> None:
    put(project, RESOURCES={"/mcp": {"SCOPES": "mcp notes:write"}})
    assert app_settings.resources("https://mcp.example.com")[0].scopes == ("mcp", "notes:write")
