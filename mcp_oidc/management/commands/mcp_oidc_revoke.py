"""`manage.py mcp_oidc_revoke`: in an emergency, and after a backup was restored."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from mcp_oidc.core.clients import clients
from mcp_oidc.core.emergency import Extent, Reach, end_everything, extent_of


class Command(BaseCommand):
    """It works in small transactions, beside the server; killed, it goes on where it was when it is run again."""

    help = (
        "End the access of a user, of a client or of everybody: connections with their tokens, what users approved, "
        "and (but for a client) logins at the identity provider. With --before, only what began before that time: "
        "after a backup was restored, `--all --before` the time of the restore ends what had been revoked since the "
        "backup was made."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        whose = parser.add_mutually_exclusive_group(required=True)
        whose.add_argument("--user", metavar="NAME", help="the user of this name")
        whose.add_argument("--user-id", metavar="KEY", help="the user with this primary key, as the audit names users")
        whose.add_argument("--client", metavar="CLIENT_ID", help="the client with this id")
        whose.add_argument("--all", action="store_true", help="everybody")
        parser.add_argument(
            "--before", metavar="TIME", help="only what began before it, such as 2026-11-30T12:00:00+00:00"
        )
        parser.add_argument("--dry-run", action="store_true", help="only say what would end")
        parser.add_argument("--no-input", action="store_false", dest="interactive", help="do not ask")

    def handle(self, *args: Any, **options: Any) -> None:
        reach = _reach(options)
        extent = extent_of(reach)
        self.stdout.write(f"{_name(reach)}: {_in_words(extent)}.")
        if options["dry_run"]:
            return
        if options["interactive"] and input("End all that? Type 'yes': ") != "yes":
            raise CommandError("Nothing was done.")
        self.stdout.write(f"Ended: {_in_words(end_everything(reach))}.")


def _reach(options: dict[str, Any]) -> Reach:
    before = _time(options["before"])
    if options["client"]:
        return _of_client(options["client"], before)
    if options["all"]:
        return Reach(before=before)
    return Reach(user=_user(options["user"], options["user_id"]), before=before)


def _time(text: str | None) -> datetime | None:
    if text is None:
        return None
    try:
        time = parse_datetime(text)
    except ValueError:
        time = None
    # A time without its zone would be hours off wherever somebody forgets which zone is meant.
    if time is None or timezone.is_naive(time):
        raise CommandError("--before needs a time with its zone, such as 2026-11-30T12:00:00+00:00.")
    return time


def _user(name: str | None, key: str | None) -> AbstractBaseUser:
    model = get_user_model()
    wanted = {model.USERNAME_FIELD: name} if name is not None else {"pk": key}
    try:
        return model._default_manager.get(**wanted)
    except (model.DoesNotExist, ValueError, ValidationError):
        raise CommandError(f"There is no user {name if name is not None else key}.") from None


def _of_client(client_id: str, before: datetime | None) -> Reach:
    client = clients().filter(client_id=client_id).first()
    if client is None:
        raise CommandError(f"There is no client {client_id}.")
    return Reach(client=client, before=before)


def _name(reach: Reach) -> str:
    if reach.user is not None:
        return f"User {reach.user.get_username()}"
    return f"Client {reach.client.client_id}" if reach.client is not None else "Everybody"


def _in_words(extent: Extent) -> str:
    return f"connections {extent.connections}, approvals {extent.consents}, logins {extent.logins}"
