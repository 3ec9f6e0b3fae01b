"""What is good once: the `jti` of a JWT that somebody signed for us."""

from __future__ import annotations

import hashlib
import time

from django.db import IntegrityError, transaction

from mcp_oidc.core.clock import from_now
from mcp_oidc.models import UsedAssertion


def use_up(signer: str, token_id: str, *, until: int) -> bool:
    """Use the id of a token of `signer` up; False if it was used before, in whatever process.

    `until` is when such a token is refused for its age alone, in epoch seconds.
    """
    # Only a hash fits a key of every database, with its letters in whatever case.
    jti_hash = hashlib.sha256(f"{signer}\0{token_id}".encode(errors="surrogatepass")).hexdigest()
    try:
        # The insert is the test, so that of two requests at once one is refused.
        with transaction.atomic():
            UsedAssertion.objects.create(jti_hash=jti_hash, expires_at=from_now(until - int(time.time())))
    except IntegrityError:
        return False
    return True
