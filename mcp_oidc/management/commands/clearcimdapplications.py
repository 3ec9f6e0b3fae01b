"""`manage.py clearcimdapplications`, in the place of DOT's command of that name."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mcp_oidc.core.cleanup import delete_unused_cimd_clients


class Command(BaseCommand):
    """Deletes what can come back by itself, and nothing else."""

    help = (
        "Delete clients known by a Client ID Metadata Document whose document has expired and which nobody is "
        "connected with. They are known again at their next request. Run it daily."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--batch-size", type=int, default=1000, help="Clients locked and deleted in one transaction."
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch_size"] < 1:
            raise CommandError("--batch-size must be 1 or more.")
        deleted = delete_unused_cimd_clients(batch_size=options["batch_size"])
        self.stdout.write(f"Deleted {deleted} expired CIMD client(s).")
