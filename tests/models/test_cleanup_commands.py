"""DOT's cleanup commands look into token tables that are empty here. They must not take our clients for unused ones."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command, load_command_class
from django.utils import timezone

from mcp_oidc.core import clients
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.revocation import block_client, delete_client, revoke_client
from mcp_oidc.management.precedence import take_precedence
from mcp_oidc.models import AbstractClient, Client, Connection, Consent, Event, Identity
from tests.factories import REDIRECT_URI, RESOURCE, Opened, make_metadata

HOUR = timedelta(hours=1)


def clean_up(**options: Any) -> str:
    out = StringIO()
    call_command("clearcimdapplications", stdout=out, **options)
    return out.getvalue()


def become_cimd(client: AbstractClient, *, expires_in: timedelta = -HOUR) -> None:
    Client.objects.filter(pk=client.pk).update(
        registration_source=AbstractClient.RegistrationSource.CIMD, cimd_expires_at=timezone.now() + expires_in
    )


@pytest.fixture(autouse=True)
def _as_after_the_start() -> None:
    # Tests that change INSTALLED_APPS make Django look for commands anew; a running server never does.
    take_precedence()


@pytest.mark.requirement("cleanup-spares-the-living")
def test_the_command_is_ours_and_no_longer_the_toolkits(opened: Opened) -> None:
    become_cimd(opened.client)
    clean_up()
    assert Client.objects.filter(pk=opened.client.pk).exists()
    # What would have happened: DOT's own command, started past Django's lookup.
    load_command_class("oauth2_provider", "clearcimdapplications").execute(
        batch_size=1000, force_color=False, no_color=True, skip_checks=True, stdout=StringIO()
    )
    assert not Client.objects.filter(pk=opened.client.pk).exists()


def test_a_client_whose_document_expired_and_whom_nobody_uses_is_deleted(public_client: AbstractClient) -> None:
    become_cimd(public_client)
    assert "Deleted 1 " in clean_up()
    assert not Client.objects.exists()


def test_a_client_whose_connections_have_all_ended_is_deleted_and_its_events_stay(
    opened: Opened, identity: Identity, caller: Caller
) -> None:
    become_cimd(opened.client)
    remember_consent(identity.user, opened.client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])
    revoke_client(opened.client, "test", caller=caller)
    clean_up()
    assert not Client.objects.exists()
    assert not Connection.objects.exists()
    assert not Consent.objects.exists()
    assert Event.objects.filter(connection_id=opened.connection.pk).exists()


def test_an_expired_connection_keeps_no_client(opened: Opened) -> None:
    become_cimd(opened.client)
    Connection.objects.update(expires_at=timezone.now() - HOUR)
    clean_up()
    assert not Client.objects.exists()


def test_a_client_whose_document_is_still_good_stays(public_client: AbstractClient) -> None:
    become_cimd(public_client, expires_in=HOUR)
    assert "Deleted 0 " in clean_up()
    assert Client.objects.exists()


@pytest.mark.parametrize("decide", [block_client, delete_client])
def test_a_client_that_somebody_decided_about_stays(public_client: AbstractClient, decide: Any) -> None:
    become_cimd(public_client)
    decide(public_client)
    clean_up()
    assert clients.find_client(public_client.client_id) is None
    assert Client.objects.exists()


def test_registered_clients_stay_however_old(public_client: AbstractClient) -> None:
    Client.objects.update(cimd_expires_at=timezone.now() - HOUR)
    clean_up()
    assert Client.objects.exists()


def test_more_clients_than_a_batch_are_deleted_past_those_that_stay(opened: Opened, caller: Caller) -> None:
    become_cimd(opened.client)
    for number in range(5):
        become_cimd(clients.register(make_metadata(client_name=str(number)), caller=caller).client)
    assert "Deleted 5 " in clean_up(batch_size=2)
    assert list(Client.objects.all()) == [opened.client]


@pytest.mark.parametrize("arguments", [[], ["confidential", "authorization-code", "--client-secret", "in clear"]])
def test_dots_command_that_would_store_a_secret_in_clear_is_refused(arguments: list[str]) -> None:
    run = [sys.executable, "-m", "django", "createapplication", *arguments]
    done = subprocess.run(
        run, capture_output=True, text=True, env={**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}
    )
    assert done.returncode == 1
    assert "in the admin" in done.stderr.replace("\n", " ")
    assert "Traceback" not in done.stderr


def test_a_batch_of_nothing_is_refused(db: None) -> None:
    with pytest.raises(CommandError, match="--batch-size"):
        clean_up(batch_size=0)


@pytest.mark.requirement("cleanup-spares-the-living")
def test_cleartokens_takes_no_client_and_no_connection(opened: Opened) -> None:
    become_cimd(opened.client)
    call_command("cleartokens", stdout=StringIO(), stderr=StringIO())
    assert list(Client.objects.all()) == [opened.client]
    assert list(Connection.objects.all()) == [opened.connection]
