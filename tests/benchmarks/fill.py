"""Makes the tables and rows of the project in DJANGO_SETTINGS_MODULE, and writes the tokens to a file, one a line.

    python -m tests.benchmarks.fill FILE COUNT

The public key is written to standard output.
"""

from __future__ import annotations

import os
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path

import django


def our_tokens(count: int) -> Iterator[str]:
    """Tokens of as many connections."""
    from django.contrib.auth import get_user_model

    from mcp_oidc.core.audit import NOBODY
    from mcp_oidc.core.clients import register
    from mcp_oidc.core.identities import local_identity
    from mcp_oidc.core.issuing import redeem_code
    from mcp_oidc.core.keys import find_key, key_ring
    from mcp_oidc.models import Connection
    from mcp_oidc.protocol.access_tokens import read_access_token, sign_access_token
    from tests.factories import make_metadata, open_for

    issuer = "http://127.0.0.1"
    client = register(make_metadata(), caller=NOBODY).client
    identity = local_identity(get_user_model().objects.create_user("alice"))
    opened = open_for(client, identity, caller=NOBODY, resource=f"{issuer}/mcp", scope="mcp")
    tokens = redeem_code(opened.request, client, issuer=issuer, caller=NOBODY)
    claims = read_access_token(tokens.access_token, find_key, issuer=issuer)
    # Seen already, as nearly all tokens are: the first use of each is written once, beside the request.
    Connection.objects.update(seen_generation=1)
    row = Connection.objects.get()
    ids = [uuid.uuid4() for _ in range(count)]
    for pk in ids:
        row.pk = pk
        row._state.adding = True
        row.save(force_insert=True)
    from dataclasses import replace

    key = key_ring().signing
    for pk in ids:
        yield sign_access_token(replace(claims, connection_id=pk, token_id=str(pk)), key)


def public_key() -> str:
    """The key of `our_tokens`, as PEM."""
    from mcp_oidc.core.keys import key_ring

    return str(key_ring().signing.key.as_pem(private=False).decode())


def dot_tokens(count: int) -> Iterator[str]:
    """Tokens of django-oauth-toolkit, as it makes them without us."""
    from datetime import timedelta

    from django.contrib.auth import get_user_model
    from django.utils import timezone
    from oauth2_provider.models import AccessToken, Application

    user = get_user_model().objects.create_user("alice")
    application = Application.objects.create(client_type="public", authorization_grant_type="authorization-code")
    expires = timezone.now() + timedelta(days=1)
    for _ in range(count):
        token = uuid.uuid4().hex
        AccessToken.objects.create(user=user, application=application, token=token, expires=expires, scope="mcp")
        yield token


def main(path: str, count: int) -> None:
    django.setup()
    from django.core.management import call_command
    from django.db import transaction

    call_command("migrate", verbosity=0)
    is_ours = os.environ["DJANGO_SETTINGS_MODULE"] == "tests.benchmarks.project"
    with transaction.atomic():
        tokens = list(our_tokens(count) if is_ours else dot_tokens(count))
    Path(path).write_text("\n".join(tokens))
    print(public_key() if is_ours else "")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
