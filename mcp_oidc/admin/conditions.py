"""Conditions: how what the server depends on is, in words, and what to do where it is not well."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from django.contrib.admin.utils import display_for_value
from django.core import checks
from django.core.exceptions import ImproperlyConfigured
from django.utils import timezone
from django.utils.functional import Promise
from django.utils.timesince import timesince
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from mcp_oidc.admin.texts import cut
from mcp_oidc.core.cleanup import CleanupRun
from mcp_oidc.core.key_overview import KeyOverview
from mcp_oidc.upstream.documents import DocumentState
from mcp_oidc.upstream.state import ProviderState, read_provider

# It ought to run daily.
CLEANUP_OVERDUE = timedelta(days=2)
_ROTATE = "python manage.py mcp_oidc_rotate_keys"
_CLEAN_UP = "python manage.py mcp_oidc_cleanup"


class Level(StrEnum):
    """How bad it is, the worst first."""

    ERROR = "error"
    WARNING = "warning"
    UNKNOWN = "unknown"
    OK = "ok"


LEVEL_NAMES: dict[Level, Promise | str] = {
    Level.ERROR: gettext_lazy("Error"),
    Level.WARNING: gettext_lazy("Warning"),
    Level.UNKNOWN: gettext_lazy("Not known"),
    Level.OK: gettext_lazy("OK"),
}


@dataclass(frozen=True)
class Finding:
    """One thing to know, and what to do about it, if anything."""

    level: Level
    text: str
    advice: str = ""

    @property
    def level_name(self) -> Promise | str:
        return LEVEL_NAMES[self.level]


@dataclass(frozen=True)
class Condition:
    """How one part is: what was found, and the facts behind it as names and values. `slug` is for links."""

    slug: str
    name: str
    findings: tuple[Finding, ...]
    facts: tuple[tuple[str, str], ...] = ()

    @property
    def needs_attention(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.level in (Level.ERROR, Level.WARNING)]


def provider_condition() -> Condition:
    """The identity provider, as this process knows it."""
    name = _("Identity provider")
    try:
        provider = read_provider()
    except ImproperlyConfigured as error:
        return Condition("provider", name, (Finding(Level.ERROR, _("It cannot be used."), cut(str(error), 500)),))
    if provider is None:
        finding = Finding(Level.OK, _("There is none: users log in at this site itself."))
        return Condition("provider", name, (finding,))
    by_hand = _("as the settings have it")
    facts = [
        (_("Issuer"), cut(provider.issuer, 200)),
        (_("Its metadata"), by_hand if provider.is_by_hand else _fetched(provider.metadata)),
        (_("Its keys"), _fetched(provider.keys)),
        (_("Last failure"), _failed(provider)),
    ]
    return Condition("provider", name, (_provider_finding(provider),), tuple(facts))


def key_condition(keys: KeyOverview) -> Condition:
    """The signing keys."""
    facts = [(_("Signs"), cut(keys.kids[0], 128))] if keys.kids else []
    if keys.signs_since is not None:
        facts.append((_("Since"), _moment(keys.signs_since)))
    if keys.next_signs_at is not None:
        facts.append((_("The next key signs from"), _moment(keys.next_signs_at)))
    elif keys.due_at is not None:
        facts.append((_("Next rotation due"), _moment(keys.due_at)))
    if len(keys.kids) > 1:
        facts.append((_("Published besides"), str(len(keys.kids) - 1)))
    return Condition("keys", _("Signing keys"), (_key_finding(keys),), tuple(facts))


def cleanup_condition(run: CleanupRun | None) -> Condition:
    """The cleanup, by its last event."""
    facts = [] if run is None else [(_("Ended last"), _moment(run.ended_at))]
    return Condition("cleanup", _("Cleanup"), (_cleanup_finding(run),), tuple(facts))


def configuration_condition() -> Condition:
    """What our own checks say, those for deployment too. They read settings only, which takes a millisecond or two."""
    messages = checks.run_checks(tags=["mcp_oidc"], include_deployment_checks=True)
    found = sorted((message for message in messages if not message.is_silenced()), key=lambda each: -each.level)
    findings = tuple(_check_finding(message) for message in found)
    fine = Finding(Level.OK, _("The checks of this app find nothing."))
    return Condition("configuration", _("Configuration"), findings or (fine,))


def attention(conditions: Sequence[Condition]) -> list[tuple[Condition, Finding]]:
    """All that needs attention, errors first."""
    found = [(condition, finding) for condition in conditions for finding in condition.needs_attention]
    return sorted(found, key=lambda pair: pair[1].level != Level.ERROR)


def _provider_finding(provider: ProviderState) -> Finding:
    failed = provider.failure
    if failed is not None:
        has_kept = provider.metadata.age is not None or provider.is_by_hand
        trouble = _("It did not answer well.")
        effect = _("It goes on with what it knows.") if has_kept else _("Nobody can log in.")
        return Finding(Level.WARNING if has_kept else Level.ERROR, f"{trouble} {effect}", failed.failure)
    if provider.is_by_hand and provider.keys.age is None:
        return Finding(Level.UNKNOWN, _("This process has not needed it yet."))
    if provider.is_stale and not provider.is_by_hand:
        return Finding(Level.UNKNOWN, _("This process has not needed it lately."))
    return Finding(Level.OK, _("It answered when it was last asked."))


def _key_finding(keys: KeyOverview) -> Finding:
    if keys.problem and keys.are_configured:
        return Finding(Level.ERROR, _("Nothing can be signed."), cut(keys.problem, 500))
    if keys.problem:
        advice = _("Add the SECRET_KEY that it was made with to SECRET_KEY_FALLBACKS, or make a new one: %(command)s")
        return Finding(
            Level.ERROR,
            _("The key that signs cannot be decrypted, so nobody gets a token."),
            advice % {"command": f"{_ROTATE} --now"},
        )
    if keys.are_configured:
        return Finding(Level.OK, _("They come from JWKS, which does not tell their age."))
    if keys.signs_since is None:
        return Finding(Level.OK, _("There is none yet: the first is made when it is needed."))
    if keys.overdue is not None:
        text = _("The rotation is overdue by %(time)s.") % {"time": _span(keys.overdue)}
        return Finding(Level.WARNING, text, _("Run it weekly: %(command)s") % {"command": _ROTATE})
    return Finding(Level.OK, _("A key signs, and its rotation is not overdue."))


def _cleanup_finding(run: CleanupRun | None) -> Finding:
    daily = _("Run it daily: %(command)s") % {"command": _CLEAN_UP}
    if run is None:
        return Finding(Level.WARNING, _("As far as events tell, it has never ended."), daily)
    age = timezone.now() - run.ended_at
    if run.has_failed:
        text = _("It failed %(time)s ago (%(reason)s).") % {"time": _span(age), "reason": cut(run.reason)}
        return Finding(Level.ERROR, text, _("Run it by hand to see why: %(command)s") % {"command": _CLEAN_UP})
    if age > CLEANUP_OVERDUE:
        return Finding(Level.WARNING, _("It has not run for %(time)s.") % {"time": _span(age)}, daily)
    return Finding(Level.OK, _("It ran well %(time)s ago.") % {"time": _span(age)})


def _check_finding(message: checks.CheckMessage) -> Finding:
    level = Level.ERROR if message.level >= checks.ERROR else Level.WARNING
    return Finding(level, f"{message.msg} ({message.id})", str(message.hint or ""))


def _fetched(state: DocumentState) -> str:
    if state.age is None:
        return _("not fetched by this process yet")
    return _("fetched %(time)s ago") % {"time": _span(timedelta(seconds=state.age))}


def _failed(provider: ProviderState) -> str:
    times = [state.failed_ago for state in (provider.metadata, provider.keys) if state.failed_ago is not None]
    if not times:
        return _("none since this process began")
    return _("%(time)s ago") % {"time": _span(timedelta(seconds=min(times)))}


def _moment(moment: datetime) -> str:
    return str(display_for_value(moment, "-"))


def _span(span: timedelta) -> str:
    """As in "2 days, 3 hours", and in seconds below a minute."""
    seconds = int(span.total_seconds())
    if seconds < 60:
        return ngettext("%(count)d second", "%(count)d seconds", seconds) % {"count": max(seconds, 0)}
    now = timezone.now()
    return timesince(now - span, now)
