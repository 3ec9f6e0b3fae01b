"""The doctor finds what is wrong, one thing at a time, and names what mends it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator, Mapping
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone
from django.utils.http import http_date

from mcp_oidc.core.keys import forget_keys, key_ring
from mcp_oidc.doctor import Report, asking, examination, examine
from mcp_oidc.doctor.asking import Ask, Reply, Unreachable, network
from mcp_oidc.doctor.findings import Finding, Level
from mcp_oidc.models import SigningKey
from mcp_oidc.upstream.provider import forget_provider
from tests.doctor.outside import Proxy, answering, straight, with_date, without_header
from tests.idp import Idp
from tests.idp_server import running_idp

pytestmark = pytest.mark.django_db

SITE = "https://mcp.example.com"
HTML = Reply(200, {"content-type": "text/html"}, b"<html>welcome</html>")


@pytest.fixture(autouse=True)
def _names(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of the site, as the internet knows it."""
    known = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("93.184.215.14", 0))]
    monkeypatch.setattr(
        "mcp_oidc.doctor.products.getaddrinfo", lambda host, port: known if host == "mcp.example.com" else []
    )


@pytest.fixture
def idp(settings: LazySettings) -> Iterator[Idp]:
    with running_idp(redirect_uris=(f"{SITE}/oauth/callback",)) as idp:
        yield idp
    forget_provider()


@pytest.fixture
def site(settings: LazySettings, idp: Idp) -> LazySettings:
    """The settings of a site that is well."""
    settings.ROOT_URLCONF = "tests.doctor.urls"
    settings.ALLOWED_HOSTS = ["mcp.example.com"]
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.db.DatabaseCache", "LOCATION": "cache"}}
    call_command("createcachetable", verbosity=0)
    settings.MCP_OIDC = {"ISSUER": SITE, "UPSTREAM": idp.upstream}
    _ = key_ring().signing
    return settings


def write(site: LazySettings, **values: Any) -> None:
    """Change keys of MCP_OIDC."""
    site.MCP_OIDC = {**site.MCP_OIDC, **values}


def look(url: str | None = None, *, through: Proxy | None = None, to_idp: Proxy | None = None) -> Report:
    ask: Ask = through(straight) if through is not None else straight
    return examine(url, ask=ask, ask_provider=to_idp(network()) if to_idp is not None else None)


def bad(report: Report, level: Level = Level.ERROR) -> list[Finding]:
    return [finding for finding in report.findings if finding.level == level]


def only(report: Report, level: Level = Level.ERROR) -> Finding:
    """The one thing that is wrong."""
    found = bad(report, level)
    assert len(found) == 1, found
    return found[0]


def test_site_that_is_well_is_told_so(site: LazySettings) -> None:
    report = look()
    assert bad(report) == bad(report, Level.WARNING) == []
    assert [verdict.product for verdict in report.verdicts if not verdict.can_connect] == []
    assert {finding.check for finding in report.findings if finding.level == Level.OK} >= {
        "settings",
        "database",
        "migrations",
        "signing-keys",
        "metadata",
        "openid-metadata",
        "keys",
        "resource-metadata",
        "challenge",
        "authorization-header",
        "preflight",
        "token",
        "registration",
        "long-urls",
        "identity-provider",
        "identity-provider-credentials",
    }


def test_looking_changes_nothing(site: LazySettings) -> None:
    SigningKey.objects.all().delete()
    forget_keys()
    with connection.execute_wrapper(_refuse_writes):
        report = examination.Report(SITE, tuple(examination.check_inside()))
    assert "no signing key yet" in next(f.message for f in report.findings if f.check == "signing-keys")


def _refuse_writes(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
    assert not sql.startswith(("INSERT", "UPDATE", "DELETE")) or "cache" in sql, sql
    return execute(sql, params, many, context)


# What is written into MCP_OIDC, the check that finds it, and what its mend says.
@pytest.mark.parametrize(
    ("written", "check", "mend"),
    [
        ({"ISSUER": "https://other.example.com"}, "address", '"ISSUER": "https://mcp.example.com"'),
        ({"RESOURCES": {"/open": {}}}, "challenge", '@protect("/mcp")'),
        ({"RESOURCES": {"/tools": {}}}, "challenge", "the key of RESOURCES"),
        ({"ACCESS_TOKEN_LIFETIME": "soon"}, "settings", '"ACCESS_TOKEN_LIFETIME": 3600'),
    ],
)
def test_wrong_setting_is_found(site: LazySettings, written: dict[str, Any], check: str, mend: str) -> None:
    write(site, **written)
    found = [finding for finding in bad(look(SITE)) if finding.check == check]
    assert found
    assert mend in found[0].mend


@pytest.mark.parametrize(
    ("proxy", "check", "said", "mend"),
    [
        (
            answering(Reply(301, {"location": "/.well-known/oauth-authorization-server/"}), at="/.well-known/oauth-a"),
            "metadata",
            "redirect",
            "add a slash",
        ),
        (answering(HTML, at="/.well-known/oauth-authorization-server"), "metadata", "no JSON", "include"),
        (answering(Reply(404), at="/.well-known/oauth-authorization-server"), "metadata", "not there", "include"),
        (answering(Reply(502), at="/.well-known/oauth-authorization-server"), "metadata", "502", "log"),
        (answering(Reply(401), at="/.well-known/openid"), "openid-metadata", "401", "without a login"),
        (answering(Reply(404), at="/.well-known/oauth-protected"), "resource-metadata", "not there", "include"),
        (answering(Reply(200, {}, b"{}"), at="/.well-known/oauth-protected"), "resource-metadata", "other", "Cors"),
        (answering(Reply(200, {"access-control-allow-origin": "*"}, b"{}"), at="/jwks"), "keys", "no key", "rotate"),
        (
            answering(Reply(200, {"access-control-allow-origin": "*"}, b'{"keys": [{"d": "AQ"}]}'), at="/jwks"),
            "keys",
            "private",
            "at once",
        ),
        (without_header("Authorization"), "authorization-header", "does not reach", "WSGIPassAuthorization On"),
        (answering(Reply(301, {"location": "/mcp/"}), at="/mcp", method="POST"), "challenge", "redirect", "slash"),
        (answering(Reply(421), at="/mcp", method="POST"), "challenge", "421", "transport_security()"),
        (answering(Reply(403), at="/mcp", method="POST"), "challenge", "CSRF", "takes CSRF checks off"),
        (
            answering(Reply(401, {"www-authenticate": "Basic"}), at="/mcp", method="POST"),
            "challenge",
            "no client",
            "@protect",
        ),
        (answering(Reply(414), at="/authorize", least_length=2000), "long-urls", "414", "large_client_header_buffers"),
        (answering(Reply(403, {}, b"<html>"), at="/token", method="POST"), "token", "something else", "POST"),
        (answering(HTML, at="/register", method="POST"), "registration", "something else", "POST"),
    ],
)
def test_what_stands_in_the_way_is_found(site: LazySettings, proxy: Proxy, check: str, said: str, mend: str) -> None:
    finding = only(look(through=proxy))
    assert finding.check == check
    assert said in finding.message
    assert mend in finding.mend


def test_host_that_django_does_not_serve_is_found(site: LazySettings) -> None:
    site.ALLOWED_HOSTS = ["localhost"]
    found = {finding.check: finding.mend for finding in bad(look())}
    assert found["metadata"] == 'ALLOWED_HOSTS = ["mcp.example.com"], and Host passed on by the proxy.'


def test_missing_cors_is_found(site: LazySettings) -> None:
    site.MIDDLEWARE = [each for each in site.MIDDLEWARE if "Cors" not in each]
    report = look()
    found = {finding.check: finding.mend for finding in [*bad(report), *bad(report, Level.WARNING)]}
    assert {"metadata", "keys", "token", "preflight"} <= set(found)
    assert all('MIDDLEWARE.insert(0, "mcp_oidc.server.cors.CorsMiddleware")' in found[name] for name in ("metadata",))


def test_issuer_with_a_path_that_is_not_served_at_the_root_is_found(site: LazySettings) -> None:
    site.ROOT_URLCONF = "tests.doctor.below_urls"
    write(site, ISSUER=f"{SITE}/auth")
    found = {finding.check: finding.mend for finding in bad(look())}
    assert "mcp_oidc.urls.well_known" in found["metadata"]


@pytest.mark.parametrize("url", [f"{SITE}/", "http://mcp.example.com"])
def test_address_that_clients_do_not_take_is_found(site: LazySettings, url: str) -> None:
    write(site, ISSUER=url.rstrip("/"))
    assert "address" in {finding.check for finding in bad(look(url))}


def test_server_that_is_down_is_one_error(site: LazySettings) -> None:
    def nowhere(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
        raise Unreachable("mcp.example.com cannot be reached: no route")

    report = examine(ask=nowhere)
    assert only(report).message == "mcp.example.com cannot be reached: no route."
    assert all(verdict.reasons == ("address",) for verdict in report.verdicts)


@pytest.mark.parametrize(
    ("changed", "check", "mend"),
    [
        ({"client_secret": "another"}, "identity-provider-credentials", "CLIENT_SECRET"),
        ({"redirect_uris": ("https://old.example.com/cb",)}, "identity-provider-redirect-uri", "/oauth/callback"),
        ({"faults": {"discovery": 500}}, "identity-provider", "PROXY"),
        ({"faults": {"discovery": "garbage"}}, "identity-provider", "PROXY"),
        ({"faults": {"token": 500}}, "identity-provider-credentials", "PROXY"),
        ({"metadata": {"issuer": "https://login.example.com/"}}, "identity-provider", "docs/idps"),
    ],
)
def test_what_is_wrong_at_the_identity_provider_is_found(
    site: LazySettings, idp: Idp, changed: dict[str, Any], check: str, mend: str
) -> None:
    for name, value in changed.items():
        setattr(idp, name, value)
    finding = only(look())
    assert finding.check == check
    assert mend in finding.mend


@pytest.mark.parametrize(
    ("scopes", "mend"),
    [
        (["openid", "email", "profile", "offline_access"], '"SCOPES": "openid email profile offline_access"'),
        (["openid", "email"], "Leave 'profile' out"),
    ],
)
def test_scopes_that_do_not_fit_are_a_warning(site: LazySettings, idp: Idp, scopes: list[str], mend: str) -> None:
    idp.metadata["scopes_supported"] = scopes
    finding = only(look(), Level.WARNING)
    assert finding.check == "identity-provider-scopes"
    assert mend in finding.mend


@pytest.mark.parametrize(("seconds", "is_bad"), [(-300, True), (300, True), (-20, False)])
def test_clock_of_the_identity_provider_is_compared(site: LazySettings, seconds: int, is_bad: bool) -> None:
    date = http_date((timezone.now() + timedelta(seconds=seconds)).timestamp())
    found = [finding.check for finding in bad(look(to_idp=with_date(date)))]
    assert found == (["identity-provider-clock"] if is_bad else [])


def test_redirect_uri_that_the_provider_answers_at_is_well(site: LazySettings) -> None:
    answer = Reply(302, {"location": f"{SITE}/oauth/callback?error=login_required"})
    report = look(to_idp=answering(answer, at="/authorize"))
    found = {finding.check: finding.level for finding in report.findings}
    assert found["identity-provider-redirect-uri"] == Level.OK


def test_application_that_may_not_log_in_is_found(site: LazySettings) -> None:
    answer = Reply(302, {"location": f"{SITE}/oauth/callback?error=unauthorized_client"})
    assert only(look(to_idp=answering(answer, at="/authorize"))).check == "identity-provider-redirect-uri"


def test_sessions_in_the_memory_of_one_process_are_found(site: LazySettings) -> None:
    site.SESSION_ENGINE = "django.contrib.sessions.backends.cache"
    site.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    assert only(look()).check == "sessions"


def test_cache_that_forgets_is_a_warning(site: LazySettings) -> None:
    site.CACHES = {"default": {"BACKEND": "django.core.cache.backends.dummy.DummyCache"}}
    assert only(look(), Level.WARNING).check == "cache"


def test_missing_migrations_are_found(site: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    # However the tables of the tests came to be.
    site.MIGRATION_MODULES = {}
    monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda recorder: {})
    finding = only(look())
    assert (finding.check, finding.mend) == ("migrations", "python manage.py migrate")


def test_lost_secret_is_found(site: LazySettings) -> None:
    site.SECRET_KEY = "another secret " * 4
    found = [finding for finding in bad(look()) if finding.check == "signing-keys"]
    assert "SECRET_KEY as it was" in found[0].mend


def test_key_that_was_not_rotated_is_a_warning(site: LazySettings) -> None:
    SigningKey.objects.update(created_at=timezone.now() - timedelta(days=60))
    finding = only(look(), Level.WARNING)
    assert finding.check == "signing-keys"
    assert "mcp_oidc_rotate_keys" in finding.mend


def test_database_that_does_not_answer_is_told_and_the_rest_goes_on(site: LazySettings) -> None:
    def refuse(*args: object) -> None:
        raise OperationalError("no route to host")

    with connection.execute_wrapper(refuse):
        found = list(examination.check_inside())
    assert [finding.check for finding in found if finding.level == Level.ERROR] == ["cache", "database"]


@pytest.mark.parametrize(
    ("written", "kept_out"),
    [
        ({"REGISTRATION": "cimd"}, {"Claude", "Cursor", "Windsurf", "mcp-remote", "MCP Inspector"}),
        ({"REDIRECT_SCHEMES": ["windsurf"]}, {"Cursor"}),
    ],
)
def test_products_that_settings_keep_out_are_named(
    site: LazySettings, written: dict[str, Any], kept_out: set[str]
) -> None:
    write(site, **written)
    verdicts = look().verdicts
    assert {verdict.product for verdict in verdicts if not verdict.can_connect} == kept_out
    assert all(next(iter(written)) in " ".join(each.reasons) for each in verdicts if not each.can_connect)


def test_hosted_products_do_not_reach_a_private_address(site: LazySettings, monkeypatch: pytest.MonkeyPatch) -> None:
    private = [(socket.AF_INET, socket.SOCK_STREAM, 0, "", ("10.0.0.1", 0))]
    monkeypatch.setattr("mcp_oidc.doctor.products.getaddrinfo", lambda host, port: private)
    kept_out = {verdict.product for verdict in look().verdicts if not verdict.can_connect}
    assert kept_out == {"Claude", "ChatGPT"}


def test_without_an_address_it_looks_inside_only(site: LazySettings) -> None:
    site.DEBUG = True
    site.MCP_OIDC = {}
    report = look()
    assert report.issuer is None
    assert report.verdicts == ()
    assert "DEBUG = False" in [finding.mend for finding in bad(report, Level.WARNING)]


@pytest.fixture
def says(site: LazySettings, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What the command says, and its exit code."""
    monkeypatch.setattr(examination, "network", lambda: straight)

    def run(*arguments: str) -> tuple[str, int]:
        output = StringIO()
        try:
            call_command("mcp_oidc_doctor", *arguments, stdout=output)
        except SystemExit as ending:
            return output.getvalue(), int(str(ending.code))
        return output.getvalue(), 0

    return run


def test_command_tells_and_exits_for_monitoring(says: Any, idp: Idp) -> None:
    text, code = says()
    assert (code, text.splitlines()[-1]) == (0, "0 errors, 0 warnings.")
    assert "Claude: can connect" in text
    idp.metadata["scopes_supported"] = ["openid"]
    assert says()[1] == 0
    assert says("--strict")[1] == 1
    idp.client_secret = "another"
    text, code = says()
    assert code == 1
    assert "ERROR   identity-provider-credentials: " in text


def test_command_gives_json(says: Any, idp: Idp) -> None:
    idp.client_secret = "another"
    text, code = says("--json")
    document = json.loads(text)
    assert (code, document["issuer"], document["errors"]) == (1, SITE, 1)
    assert {"level", "check", "message", "mend"} == set(document["findings"][0])
    assert {"name": "Claude", "can_connect": True, "reasons": []} in document["products"]
    assert idp.upstream["CLIENT_SECRET"] not in text


def test_url_that_is_none_is_refused(says: Any) -> None:
    with pytest.raises(CommandError, match="URL cannot be used"):
        says("mcp.example.com")


def test_answers_come_over_the_network_bounded_and_without_redirects(idp: Idp) -> None:
    ask = network()
    assert ask("GET", f"{idp.issuer}/jwks", {}, b"").json() is not None
    idp.faults = {"jwks": "redirect"}
    assert ask("GET", f"{idp.issuer}/jwks", {}, b"").is_redirect
    idp.faults = {"jwks": "oversized"}
    assert len(ask("GET", f"{idp.issuer}/jwks", {}, b"").body) <= asking.MAX_BYTES + 1


def test_closed_port_is_unreachable() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with pytest.raises(Unreachable, match=r"127\.0\.0\.1 cannot be reached"):
        network()("GET", f"http://127.0.0.1:{port}/", {}, b"")
