"""`manage.py generate_jwks`: a private signing key, for the environment or the database."""

from __future__ import annotations

import json
from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mcp_oidc.conf import app_settings
from mcp_oidc.core.key_rotation import save_key
from mcp_oidc.core.keys import DEFAULT_ALGORITHM, configured_keys
from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS, SigningJwk, generate_jwk


class Command(BaseCommand):
    """Print a private JWK Set for the environment variable JWKS, or save the key to the database."""

    help = (
        "Print a private JWK Set (RSA, 2048 bits, by default) for the environment variable JWKS. Keep it secret. "
        "With --append, print the present set with a new key at its end. With --save, keep the key in the database "
        "instead and sign with it from now on."
    )
    # It is what sets a server up, so it must not insist on a complete one.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--alg", choices=SIGNING_ALGORITHMS, help="default: RS256; with --append, that of the key that signs now"
        )
        parser.add_argument("--pretty", action="store_true", help="indent the JSON")
        purpose = parser.add_mutually_exclusive_group()
        purpose.add_argument(
            "--append", action="store_true", help="print what JWKS holds now, too: the new key is published and waits"
        )
        purpose.add_argument("--save", action="store_true", help="save to the database and print the key id only")

    def handle(self, *args: Any, **options: Any) -> None:
        before = _present_keys() if options["append"] else ()
        key = generate_jwk(options["alg"] or (before[0].algorithm if before else DEFAULT_ALGORITHM))
        if options["save"]:
            self._save(key)
            return
        jwks = {"keys": [each.private for each in (*before, key)]}
        self.stdout.write(json.dumps(jwks, indent=2 if options["pretty"] else None))

    def _save(self, key: SigningJwk) -> None:
        save_key(key)
        if app_settings.JWKS is not None:
            self.stdout.write(f"Saved the key {key.kid}, but JWKS is set, and its keys sign. Unset it to use this one.")
            return
        self.stdout.write(f"Saved. New tokens are signed with the key {key.kid}.")


def _present_keys() -> tuple[SigningJwk, ...]:
    try:
        source = app_settings.JWKS
        present = configured_keys(source) if source is not None else ()
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from None
    if not present:
        raise CommandError(
            "JWKS is not set, so there is nothing to append to. Keys in the database are rotated by "
            "`python manage.py mcp_oidc_rotate_keys`."
        )
    return present
