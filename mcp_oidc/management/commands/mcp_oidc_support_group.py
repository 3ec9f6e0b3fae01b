"""`manage.py mcp_oidc_support_group`: a group for staff who look and revoke."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mcp_oidc.core.support import grant_support


class Command(BaseCommand):
    """Running it again adds what a newer version needs, and takes nothing away."""

    help = (
        "Make a group whose members, if they are staff, see everything of mcp_oidc in the admin and take access away: "
        "they revoke and block, and neither add, edit, trust, unblock nor delete. Run it after `migrate`."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("name", nargs="?", default="MCP support", help="of the group, default: %(default)s")

    def handle(self, *args: Any, **options: Any) -> None:
        group, names = grant_support(options["name"])
        if not names:
            raise CommandError("There are no permissions to grant yet: run `manage.py migrate` first.")
        self.stdout.write(f"The group {group.name} has {', '.join(names)}.")
