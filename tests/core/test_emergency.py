"""What ends in an emergency, by `manage.py mcp_oidc_revoke`, and what is spared."""

from __future__ import annotations

from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.management import CommandError, call_command
from django.utils import timezone

from mcp_oidc.core import endings
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import register
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.emergency import REASON
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.sessions import DjangoSession, open_session
from mcp_oidc.models import Connection, Consent, Event, Identity, LoginSession
from tests.factories import REDIRECT_URI, RESOURCE, Opened, make_metadata, open_for

pytestmark = pytest.mark.django_db


def run(*arguments: str) -> str:
    output = StringIO()
    call_command("mcp_oidc_revoke", *arguments, "--no-input", stdout=output)
    return output.getvalue()


def connect(opened: Opened, identity: Identity) -> Opened:
    """What a login and an approval leave behind, besides the connection."""
    user = identity.user
    remember_consent(user, opened.client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=("mcp",))
    open_session(identity, DjangoSession("", 3600), authenticated_at=timezone.now(), sid="", replaces=None)
    return opened


@pytest.fixture
def alice(opened: Opened, identity: Identity) -> Opened:
    return connect(opened, identity)


@pytest.fixture
def bob(alice: Opened, caller: Caller) -> Opened:
    """Another user, with another client."""
    client = register(make_metadata(client_name="Other"), caller=caller).client
    identity = local_identity(get_user_model().objects.create_user("bob"))
    return connect(open_for(client, identity, caller=caller), identity)


def living() -> tuple[set[Any], set[Any], set[Any]]:
    """The users of what lives: connections, approvals, logins."""
    return (
        set(Connection.objects.filter(revoked_at=None).values_list("user__username", flat=True)),
        set(Consent.objects.values_list("user__username", flat=True)),
        set(LoginSession.objects.filter(ended_at=None).values_list("identity__user__username", flat=True)),
    )


def test_everything_of_everybody_ends(alice: Opened, bob: Opened) -> None:
    output = run("--all")
    assert living() == (set(), set(), set())
    assert output.splitlines() == [
        "Everybody: connections 2, approvals 2, logins 2.",
        "Ended: connections 2, approvals 2, logins 2.",
    ]
    assert set(Connection.objects.values_list("revoked_reason", flat=True)) == {REASON}
    assert Event.objects.filter(kind="emergency.revoked", outcome="revoked").count() == 1
    assert Event.objects.filter(kind="connection.revoked", reason=REASON).count() == 2


@pytest.mark.parametrize("by", ["name", "key"])
def test_everything_of_a_user_ends_and_others_notice_nothing(
    by: str, alice: Opened, bob: Opened, user: AbstractBaseUser
) -> None:
    run("--user", user.get_username()) if by == "name" else run("--user-id", str(user.pk))
    assert living() == ({"bob"}, {"bob"}, {"bob"})
    assert Event.objects.get(kind="emergency.revoked").user_id == user.pk


def test_everything_of_a_client_ends_and_its_users_stay_logged_in(
    alice: Opened, bob: Opened, user: AbstractBaseUser
) -> None:
    output = run("--client", alice.client.client_id)
    assert living() == ({"bob"}, {"bob"}, {user.get_username(), "bob"})
    assert "Ended: connections 1, approvals 1, logins 0." in output


def test_what_began_later_is_spared(alice: Opened, bob: Opened) -> None:
    early = timezone.now() - timedelta(hours=2)
    Connection.objects.filter(pk=alice.connection.pk).update(created_at=early)
    Consent.objects.filter(client=alice.client).update(approved_at=early)
    LoginSession.objects.exclude(identity__user__username="bob").update(created_at=early)
    run("--all", "--before", (early + timedelta(hours=1)).isoformat())
    assert living() == ({"bob"}, {"bob"}, {"bob"})


def test_dry_run_tells_and_does_nothing(alice: Opened, bob: Opened) -> None:
    before = living()
    assert run("--all", "--dry-run") == "Everybody: connections 2, approvals 2, logins 2.\n"
    assert living() == before
    assert not Event.objects.filter(kind="emergency.revoked").exists()


@pytest.mark.parametrize("answer", ["", "y", "no"])
def test_nothing_is_done_without_a_yes(answer: str, alice: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("builtins.input", lambda prompt: answer)
    before = living()
    with pytest.raises(CommandError, match="Nothing was done"):
        call_command("mcp_oidc_revoke", "--all", stdout=StringIO())
    assert living() == before


def test_it_is_done_in_batches(alice: Opened, identity: Identity, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endings, "BATCH_SIZE", 1)
    monkeypatch.setattr("mcp_oidc.core.emergency.BATCH_SIZE", 1)
    connect(alice, identity)
    run("--all")
    assert living() == (set(), set(), set())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--user", "nobody"], "There is no user nobody."),
        (["--user-id", "nobody"], "There is no user nobody."),
        (["--client", "nobody"], "There is no client nobody."),
        (["--all", "--before", "yesterday"], "--before needs a time with its zone"),
        (["--all", "--before", "2026-11-30T12:00:00"], "--before needs a time with its zone"),
        (["--all", "--before", "2026-13-30T12:00:00Z"], "--before needs a time with its zone"),
        ([], "one of the arguments --user --user-id --client --all is required"),
        (["--all", "--user", "alice"], "not allowed with argument"),
    ],
)
def test_what_cannot_be_meant_is_refused(arguments: list[str], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        run(*arguments)
