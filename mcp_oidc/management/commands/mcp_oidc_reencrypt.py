"""`manage.py mcp_oidc_reencrypt`: after a change of SECRET_KEY or ENCRYPTION_KEYS."""

from __future__ import annotations

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mcp_oidc.core.reencryption import BATCH_SIZE, Reencryption, reencrypt_rows


class Command(BaseCommand):
    """Works in small transactions, so that it may run beside the server and be killed at any time."""

    help = (
        "Encrypt signing keys and the identity provider's tokens with the first of ENCRYPTION_KEYS (SECRET_KEY, where "
        "that is not set), once every process of the server has it there. Rows that are so already are skipped. Exits "
        "with 1 if a row is left that the first key does not open."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--batch-size", type=int, default=BATCH_SIZE, help="Rows changed in one transaction.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["batch_size"] < 1:
            raise CommandError("--batch-size must be 1 or more.")
        kinds = []
        for kind in reencrypt_rows(batch_size=options["batch_size"]):
            self.stdout.write(f"{kind.name}: {kind.reencrypted} re-encrypted, {kind.current} were current.")
            kinds.append(kind)
        complaints = [complaint for kind in kinds for complaint in _complaints(kind)]
        if complaints:
            raise CommandError("\n".join(complaints))


def _complaints(kind: Reencryption) -> list[str]:
    overtaken = max(0, kind.outdated - kind.unreadable)
    complaints = []
    if kind.unreadable:
        complaints.append(
            f"{kind.name}: {kind.unreadable} cannot be decrypted. Add the key that they were encrypted with to "
            "SECRET_KEY_FALLBACKS (or to ENCRYPTION_KEYS, where that is set) and run this again. If it is lost, so are "
            "they: users log in at the identity provider again, and a signing key is replaced by "
            "`python manage.py mcp_oidc_rotate_keys --now`."
        )
    if overtaken:
        complaints.append(
            f"{kind.name}: {overtaken} were written with an older key meanwhile. Run this again once no process has "
            "that key first."
        )
    return complaints
