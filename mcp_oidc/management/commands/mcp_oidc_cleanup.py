"""`manage.py mcp_oidc_cleanup`: what nobody needs any more is deleted."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mcp_oidc.core.batches import BATCH_SIZE
from mcp_oidc.core.cleanup import recorded_cleanup, sweep
from mcp_oidc.upstream.idp_revocation import revoke_abandoned_tokens


class Command(BaseCommand):
    """Sweeps in small transactions, so that it may run beside the server and be killed at any time."""

    help = (
        "Delete registered clients that are not used any more (CLIENT_UNUSED_LIFETIME, CLIENT_LIFETIME), clients whose "
        "metadata document has expired, connections a week after their end, signing keys a day after their last "
        "token has expired, events of the audit that are older than EVENT_LIFETIME, and what is left of logins, "
        "logouts and client assertions. Clients that somebody is "
        "connected with, that were added by hand, or that an operator trusts or blocks stay. Tokens of the identity "
        "provider whose user has no connection any more are revoked there. Run it daily, or hourly on a busy server."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch-size", type=int, default=BATCH_SIZE, help="Rows deleted in one transaction.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch_size"] < 1:
            raise CommandError("--batch-size must be 1 or more.")
        with recorded_cleanup() as record:
            for name, deleted in sweep(batch_size=options["batch_size"]):
                record[name] = deleted
                self.stdout.write(f"Deleted {deleted} {name}.")
            self.stdout.write(f"Revoked {revoke_abandoned_tokens()} IdP token sets.")
