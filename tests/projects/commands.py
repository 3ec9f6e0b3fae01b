"""What the tests run in a project's own process. What the commands tell is printed as one JSON object."""

from __future__ import annotations

import json
import sys
from typing import Any

import django
from django.core.management import call_command, get_commands


def install() -> dict[str, Any]:
    """Migrate from nothing, find nothing missing, and tell who won where two apps have something of one name."""
    from django.contrib import admin
    from oauth2_provider.models import get_access_token_model, get_application_model

    call_command("migrate", verbosity=0)
    call_command("makemigrations", check_changes=True, dry_run=True, verbosity=0)
    call_command("check", fail_level="WARNING")
    return {
        "client_admin": type(admin.site.get_model_admin(get_application_model())).__module__,
        "token_admin": type(admin.site.get_model_admin(get_access_token_model())).__module__,
        "clearcimdapplications": get_commands()["clearcimdapplications"],
    }


def connect() -> dict[str, Any]:
    """Take a user from the approval to a refreshed token, and show the connection to an operator."""
    from django.contrib.auth import get_user_model
    from django.test import Client as Browser
    from django.test.utils import setup_test_environment

    from mcp_oidc.core.audit import NOBODY
    from mcp_oidc.core.clients import register
    from mcp_oidc.core.identities import local_identity
    from mcp_oidc.core.issuing import RefreshRequest, redeem_code, refresh
    from mcp_oidc.core.verification import verify_access_token
    from tests.factories import RESOURCE, make_metadata, open_for

    issuer = "http://testserver"
    person = get_user_model().objects.create_superuser(email="alice@example.com", password="a long password")
    client = register(make_metadata(), caller=NOBODY).client
    opened = open_for(client, local_identity(person), caller=NOBODY)
    tokens = redeem_code(opened.request, client, issuer=issuer, caller=NOBODY)
    request = RefreshRequest(refresh_token=tokens.refresh_token or "", scopes=(), resource=RESOURCE)
    access_token = refresh(request, client, issuer=issuer, caller=NOBODY).access_token
    principal = verify_access_token(access_token, issuer=issuer, resource=RESOURCE)
    setup_test_environment()
    browser = Browser()
    browser.force_login(person)
    page = browser.get("/admin/mcp_oidc/connection/?q=alice%40example.com")
    return {
        "client_model": type(client)._meta.label,
        "user": str(principal.user),
        "is_same_user": principal.user_id == person.pk,
        "is_shown": str(principal.connection_id) in page.content.decode(),
    }


def leave() -> dict[str, Any]:
    """Save the user who connected, who cannot be deactivated, and delete them."""
    from django.contrib.auth import get_user_model

    from mcp_oidc.models import Connection, Event

    person, connection = get_user_model().objects.get(), Connection.objects.get()
    person.save()
    is_alive = Connection.objects.get().revoked_at is None
    get_user_model().objects.all().delete()
    told = Event.objects.filter(subject=connection.subject, user=None).order_by("pk")
    return {"survives_a_save": is_alive, "told_of_the_deletion": [event.kind for event in told][-2:]}


if __name__ == "__main__":
    django.setup()
    commands = {"install": install, "connect": connect, "leave": leave}
    told = [commands[name]() for name in sys.argv[1:]]
    sys.stdout.write(json.dumps({name: value for values in told for name, value in values.items()}))
