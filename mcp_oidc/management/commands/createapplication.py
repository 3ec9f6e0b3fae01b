"""`manage.py createapplication`: django-oauth-toolkit's, refused."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError


class Command(BaseCommand):
    """Says where clients are added. DOT's command would put a secret in clear where its hash belongs."""

    help = "Not for mcp_oidc: add clients in the admin, under Clients."

    def run_from_argv(self, argv: list[str]) -> None:
        # Whatever DOT's arguments are, the answer is the same.
        super().run_from_argv(argv[:2])

    def handle(self, *args: Any, **options: Any) -> None:
        raise CommandError(
            "This command of django-oauth-toolkit would store the client's secret in clear. Add the client in the "
            "admin, under Clients: its secret is made, shown once, and kept as a hash."
        )
