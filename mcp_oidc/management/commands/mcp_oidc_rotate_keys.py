"""`manage.py mcp_oidc_rotate_keys`: a new signing key, without logging anybody out."""

from __future__ import annotations

from typing import Any

from django.core.exceptions import ImproperlyConfigured
from django.core.management.base import BaseCommand, CommandError, CommandParser

from mcp_oidc.conf import app_settings
from mcp_oidc.core.kept_keys import KEYS_MAX_AGE, KeyState, kept_keys
from mcp_oidc.core.key_rotation import LEAD, delete_expired_keys, publish_key, replace_keys, save_key
from mcp_oidc.core.keys import DEFAULT_ALGORITHM
from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS, SigningJwk, generate_jwk

_JWKS_IS_SET = (
    "The signing keys come from JWKS, where this command cannot change them. Instead:\n"
    "1. Deploy the present set with a new key at its end: `python manage.py generate_jwks --append` prints it.\n"
    "2. An hour later, move the new key to the front, where it signs, and deploy again.\n"
    "3. When the last token of the old key has expired (ACCESS_TOKEN_LIFETIME), remove it, and deploy again.\n"
    "docs/keys.md has a line for each."
)


class Command(BaseCommand):
    """Whatever it changes is one transaction, so that cron may run it and anybody may kill it."""

    help = (
        f"Publish a new signing key, and sign with it after {LEAD // 60} minutes, when everybody knows it. The old one "
        "goes on verifying until its last token has expired, so nobody is logged out. While a new key waits, nothing "
        "changes. Keys that nobody needs any more are deleted. Run it weekly."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--alg", choices=SIGNING_ALGORITHMS, help="default: that of the key that signs now")
        when = parser.add_mutually_exclusive_group()
        when.add_argument("--lead", type=int, default=LEAD, help=f"seconds until the new key signs, default: {LEAD}")
        when.add_argument("--now", action="store_true", help="sign with the new key at once")
        when.add_argument(
            "--compromised",
            action="store_true",
            help="sign with the new key at once, and refuse all tokens that were signed with another",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        if options["lead"] < 0:
            raise CommandError("--lead must be 0 or more.")
        _require_keys_in_the_database()
        key = generate_jwk(options["alg"] or _present_algorithm())
        if options["compromised"]:
            self._replace(key)
        elif options["now"]:
            save_key(key)
            self.stdout.write(f"The key {key.kid} ({key.algorithm}) signs from now on.")
        else:
            self._publish(key, options["lead"])
        if deleted := delete_expired_keys():
            self.stdout.write(f"Deleted {deleted} expired keys.")

    def _publish(self, key: SigningJwk, lead: int) -> None:
        is_new = publish_key(key, delay=lead)
        newest = kept_keys()[-1]
        name = f"The key {newest.row.kid} ({newest.row.algorithm})"
        since = f"{newest.row.activates_at:%Y-%m-%d %H:%M:%S %Z}".strip()
        if not is_new:
            self.stdout.write(f"Nothing to do. {name} is published already, and signs from {since} on.")
        elif newest.state == KeyState.PUBLISHED:
            self.stdout.write(f"{name} is published, and signs from {since} on.")
        else:
            self.stdout.write(f"{name} signs from now on.")

    def _replace(self, key: SigningJwk) -> None:
        dropped = replace_keys(key)
        self.stdout.write(
            f"The key {key.kid} ({key.algorithm}) signs from now on. Dropped: {', '.join(dropped) or 'none'}.\n"
            f"Processes that run refuse the tokens of those keys within {KEYS_MAX_AGE} seconds; restarted, at once. "
            "Verifiers elsewhere do so when they fetch the keys again."
        )


def _require_keys_in_the_database() -> None:
    try:
        has_jwks = app_settings.JWKS is not None
    except ImproperlyConfigured as error:
        raise CommandError(str(error)) from None
    if has_jwks:
        raise CommandError(_JWKS_IS_SET)


def _present_algorithm() -> str:
    signing = [each.row.algorithm for each in kept_keys() if each.state == KeyState.SIGNING]
    return signing[0] if signing else DEFAULT_ALGORITHM
