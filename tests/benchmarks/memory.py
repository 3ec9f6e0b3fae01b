"""What a process keeps of the tokens that it has seen: its resident memory, with a new token for each verification.

    python tests/benchmarks/memory.py [--tokens 1000000] [--step 100000] [--cache 60]

Each token is good, of a connection of its own, and goes through the whole verification: signature, claims, row. They
are signed with Ed25519, which is quick; the database is SQLite, in a file. Connections come and go in batches, so that
the database's own size has no part in it. With `--cache` VERIFICATION_CACHE remembers the rows, too.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
# In the place of this directory, in which `resource` would be a module of ours and not Python's.
sys.path[0] = str(ROOT)

ISSUER = "http://127.0.0.1"
RESOURCE = f"{ISSUER}/mcp"
BATCH = 1000


def main() -> None:
    options = _options()
    with tempfile.TemporaryDirectory() as directory:
        os.environ["DATABASE_URL"] = f"sqlite:///{directory}/memory.sqlite3"
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.benchmarks.project"
        os.environ["VERIFICATION_CACHE"] = str(options.cache)
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0)
        print(f"{'tokens':>12}{'resident MB':>14}{'since first step':>18}{'seconds':>10}")
        measure(options.tokens, options.step)


def measure(count: int, step: int) -> None:
    """Verify as many distinct tokens, and print a line after each step."""
    from mcp_oidc.core.verification import verify_access_token

    first, began = 0.0, time.monotonic()
    for number, token in enumerate(tokens(count), start=1):
        verify_access_token(token, issuer=ISSUER, resource=RESOURCE)
        if number % step == 0:
            used = resident()
            first = first or used
            print(f"{number:>12,}{used:>14.1f}{used - first:>+18.1f}{time.monotonic() - began:>10.0f}", flush=True)


def tokens(count: int) -> Iterator[str]:
    """Tokens of as many connections, each of which lives until the next batch."""
    from mcp_oidc.core.key_rotation import save_key
    from mcp_oidc.core.keys import key_ring
    from mcp_oidc.models import Connection
    from mcp_oidc.protocol.access_tokens import sign_access_token
    from mcp_oidc.protocol.jwks import generate_jwk

    save_key(generate_jwk("EdDSA"))
    row, claims = _first()
    signing = key_ring().signing
    for begin in range(0, count, BATCH):
        ids = [uuid.uuid4() for _ in range(min(BATCH, count - begin))]
        Connection.objects.all().delete()
        Connection.objects.bulk_create([_copy(row, pk) for pk in ids])
        for pk in ids:
            yield sign_access_token(replace(claims, connection_id=pk, token_id=str(pk)), signing)


def resident() -> float:
    """Megabytes of this process that are in memory now (proc(5), statm), not the most there ever were."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _first() -> tuple[Any, Any]:
    from django.contrib.auth import get_user_model

    from mcp_oidc.core.audit import NOBODY
    from mcp_oidc.core.clients import register
    from mcp_oidc.core.identities import local_identity
    from mcp_oidc.core.issuing import redeem_code
    from mcp_oidc.core.keys import find_key
    from mcp_oidc.models import Connection
    from mcp_oidc.protocol.access_tokens import read_access_token
    from tests.factories import make_metadata, open_for

    client = register(make_metadata(), caller=NOBODY).client
    identity = local_identity(get_user_model().objects.create_user("alice"))
    opened = open_for(client, identity, caller=NOBODY, resource=RESOURCE, scope="mcp")
    tokens = redeem_code(opened.request, client, issuer=ISSUER, caller=NOBODY)
    # Its lifetime must outlast the measurement, and that its first use is written is measured elsewhere.
    claims = read_access_token(tokens.access_token, find_key, issuer=ISSUER)
    Connection.objects.update(seen_generation=1)
    return Connection.objects.get(), replace(claims, expires_at=claims.expires_at + 24 * 60 * 60)


def _copy(row: Any, pk: uuid.UUID) -> Any:
    values = {field.attname: getattr(row, field.attname) for field in row._meta.concrete_fields}
    return type(row)(**{**values, "id": pk})


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", type=int, default=1_000_000)
    parser.add_argument("--step", type=int, default=100_000)
    parser.add_argument("--cache", type=int, default=60, help="VERIFICATION_CACHE, in seconds")
    return parser.parse_args()


if __name__ == "__main__":
    main()
