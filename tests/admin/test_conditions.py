"""How the server is, in words: the identity provider, the keys, the cleanup and the configuration."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.test import Client as Browser
from django.utils import timezone

from mcp_oidc.admin.conditions import (
    Condition,
    Finding,
    Level,
    attention,
    cleanup_condition,
    configuration_condition,
    key_condition,
    provider_condition,
)
from mcp_oidc.core.audit import record
from mcp_oidc.core.cleanup import last_cleanup
from mcp_oidc.core.key_overview import read_keys
from mcp_oidc.core.key_rotation import publish_key
from mcp_oidc.models import Event, SigningKey
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from mcp_oidc.upstream.provider import forget_provider, get_provider
from tests.core.passing import let_pass
from tests.idp import Idp
from tests.idp_server import running_idp
from tests.upstream.browser import configure_upstream

DAY = 24 * 3600
SET_UP = {"ISSUER": "https://login.example.com", "CLIENT_ID": "a", "CLIENT_SECRET": "b"}


@pytest.fixture
def idp(settings: LazySettings) -> Iterator[Idp]:
    forget_provider()
    with running_idp() as idp:
        configure_upstream(settings, idp.upstream)
        yield idp
    forget_provider()


def told(condition: Condition) -> tuple[Level, str]:
    (finding,) = condition.findings
    return finding.level, f"{finding.text} {finding.advice}".replace("\xa0", " ").strip()


def fact(condition: Condition, name: str) -> str:
    return dict(condition.facts)[name].replace("\xa0", " ")


def change(settings: LazySettings, **values: Any) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, **values}


def test_site_without_a_provider_is_well() -> None:
    assert told(provider_condition()) == (Level.OK, "There is none: users log in at this site itself.")


def test_provider_that_cannot_be_is_an_error(settings: LazySettings) -> None:
    change(settings, UPSTREAM={**SET_UP, "CLIENT_CLASS": "no.such.class"})
    level, text = told(provider_condition())
    assert (level, "no.such.class" in text) == (Level.ERROR, True)
    change(settings, UPSTREAM={"ISSUER": "https://login.example.com"})
    assert told(provider_condition())[0] == Level.ERROR


def test_provider_is_not_asked_for_the_sake_of_the_page(idp: Idp, admin_browser: Browser) -> None:
    assert admin_browser.get("/admin/mcp_oidc/dashboard/").status_code == 200
    condition = provider_condition()
    assert told(condition) == (Level.UNKNOWN, "This process has not needed it lately.")
    assert fact(condition, "Its metadata") == "not fetched by this process yet"


def test_provider_that_answered_is_well_and_its_age_is_told(idp: Idp) -> None:
    provider = get_provider()
    assert provider is not None
    provider.prepare()
    condition = provider_condition()
    assert told(condition) == (Level.OK, "It answered when it was last asked.")
    assert fact(condition, "Issuer") == idp.issuer
    assert fact(condition, "Its metadata").endswith("ago")
    assert fact(condition, "Last failure") == "none since this process began"


def test_provider_that_fails_is_an_error_until_something_is_known_of_it(
    idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = get_provider()
    assert provider is not None
    monkeypatch.setattr(idp, "faults", {"discovery": 500})
    with pytest.raises(Exception, match="answered 500"):
        provider.prepare()
    condition = provider_condition()
    level, text = told(condition)
    assert (level, "Nobody can log in." in text, "answered 500" in text) == (Level.ERROR, True, True)
    assert fact(condition, "Last failure").endswith("ago")


def test_keys_that_are_not_there_yet_are_no_trouble(db: None) -> None:
    assert told(key_condition(read_keys()))[0] == Level.OK
    # Looking makes none.
    assert not SigningKey.objects.exists()


@pytest.mark.parametrize(
    ("days", "level"), [(0, Level.OK), (7.5, Level.OK), (8.1, Level.WARNING), (400, Level.WARNING)]
)
def test_rotation_is_overdue_a_day_after_the_week(signing_key: SigningJwk, days: float, level: Level) -> None:
    let_pass(days * DAY, *SigningKey.objects.all())
    condition = key_condition(read_keys())
    found, text = told(condition)
    assert found == level
    assert ("mcp_oidc_rotate_keys" in text) == (level == Level.WARNING)
    assert fact(condition, "Signs") == signing_key.kid
    assert fact(condition, "Next rotation due")


def test_overdue_is_told_in_words(signing_key: SigningJwk) -> None:
    let_pass(10 * DAY + 60, *SigningKey.objects.all())
    assert told(key_condition(read_keys()))[1].startswith("The rotation is overdue by 3 days.")


def test_key_that_waits_is_the_rotation(signing_key: SigningJwk) -> None:
    let_pass(30 * DAY, *SigningKey.objects.all())
    publish_key(generate_jwk("ES256"))
    condition = key_condition(read_keys())
    assert told(condition)[0] == Level.OK
    assert fact(condition, "The next key signs from")
    assert fact(condition, "Published besides") == "1"


def test_key_that_cannot_be_decrypted_is_an_error(signing_key: SigningJwk) -> None:
    SigningKey.objects.update(payload="nothing of ours")
    level, text = told(key_condition(read_keys()))
    assert (level, "SECRET_KEY_FALLBACKS" in text) == (Level.ERROR, True)


def test_keys_of_the_environment_are_told_by_their_ids(settings: LazySettings) -> None:
    key = generate_jwk("ES256")
    change(settings, JWKS={"keys": [{**key.private, "kid": key.kid}]})
    condition = key_condition(read_keys())
    assert told(condition)[0] == Level.OK
    assert fact(condition, "Signs") == key.kid
    change(settings, JWKS="/no/such/file")
    assert told(key_condition(read_keys()))[0] == Level.ERROR


def test_cleanup_that_never_ended_is_told_with_the_line_to_run(db: None) -> None:
    level, text = told(cleanup_condition(last_cleanup()))
    assert (level, "manage.py mcp_oidc_cleanup" in text) == (Level.WARNING, True)


@pytest.mark.parametrize(("hours", "level"), [(0, Level.OK), (25, Level.OK), (49, Level.WARNING)])
def test_cleanup_ought_to_have_run_within_two_days(db: None, hours: int, level: Level) -> None:
    call_command("mcp_oidc_cleanup", verbosity=0)
    Event.objects.update(created_at=timezone.now() - timedelta(hours=hours))
    assert told(cleanup_condition(last_cleanup()))[0] == level


def test_cleanup_that_failed_is_an_error(db: None) -> None:
    record("cleanup", "failed", reason="OperationalError")
    level, text = told(cleanup_condition(last_cleanup()))
    assert (level, "(OperationalError)" in text) == (Level.ERROR, True)


def test_checks_are_told_with_their_hints_and_the_worst_first(settings: LazySettings) -> None:
    change(settings, CONSENT="never", SCOPES=7)
    found = configuration_condition().findings
    assert [finding.level for finding in found] == sorted(finding.level for finding in found)
    texts = "".join(f"{finding.text} {finding.advice}" for finding in found)
    for text in ("mcp_oidc.W302", '"CONSENT": "remember"', "mcp_oidc.E1"):
        assert text in texts


def test_checks_of_others_and_silenced_ones_are_left_out(settings: LazySettings) -> None:
    settings.SILENCED_SYSTEM_CHECKS = ["mcp_oidc.W301", "mcp_oidc.W303", "mcp_oidc.W012", "mcp_oidc.W202"]
    assert told(configuration_condition()) == (Level.OK, "The checks of this app find nothing.")


def test_errors_come_first_and_what_is_well_needs_no_attention() -> None:
    findings = [Finding(level, level.value) for level in (Level.OK, Level.WARNING, Level.UNKNOWN, Level.ERROR)]
    condition = Condition("a", "A", tuple(findings))
    assert [finding.text for _, finding in attention([condition])] == ["error", "warning"]


def test_page_says_so_where_nothing_needs_attention(admin_browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    fine = Condition("configuration", "Configuration", (Finding(Level.OK, "Fine."),))
    monkeypatch.setattr("mcp_oidc.admin.dashboard.configuration_condition", lambda: fine)
    call_command("mcp_oidc_cleanup", verbosity=0)
    page = admin_browser.get("/admin/mcp_oidc/dashboard/").content.decode()
    assert "Nothing that this page looks at." in page
    record("cleanup", "failed", reason="OperationalError")
    page = admin_browser.get("/admin/mcp_oidc/dashboard/").content.decode()
    assert '<a href="#cleanup">Cleanup</a>: It failed' in page
    assert '<span class="mcp-level mcp-error">Error</span>' in page
