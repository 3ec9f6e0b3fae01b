"""Logouts that the IdP tells of: what of ours ends with a session there, or with all sessions of a user."""

from __future__ import annotations

from dataclasses import dataclass, field

from django.db import transaction
from django.db.models import Q

from mcp_oidc.core import audit
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.endings import end_connections
from mcp_oidc.core.identities import known_identity
from mcp_oidc.core.sessions import end_sessions, hash_idp_session
from mcp_oidc.core.single_use import use_up

REASON = "idp_logout"


@dataclass(frozen=True)
class IdpLogout:
    """Who was logged out: all of the user `sub`, the session `sid`, or, with both, that session of that user.

    Whichever is not named is empty. `forgotten_at` is when the message is refused for its age alone, in epoch seconds.
    """

    provider: str
    issuer: str
    sub: str = field(repr=False)
    sid: str = field(repr=False)
    token_id: str
    forgotten_at: int


@retry_conflicts
def log_out(logout: IdpLogout, *, spares_connections: bool, caller: audit.Caller = audit.NOBODY) -> bool:
    """End the login sessions and connections of those who were logged out. False for a message that came before.

    With `spares_connections` the end of one session ends no connections; that of a user always does. What is not known
    here needs no end. Nothing is used up unless all has ended.
    """
    which = _concerned(logout)
    with transaction.atomic():
        if not use_up(
            f"back-channel logout {logout.provider} {logout.issuer}", logout.token_id, until=logout.forgotten_at
        ):
            return False
        if which is None:
            return True
        # Sessions first: whoever is about to approve something holds theirs, and is waited for.
        end_sessions(which, REASON, caller=caller)
        if not (spares_connections and logout.sid):
            end_connections(which, REASON, caller=caller)
    return True


def _concerned(logout: IdpLogout) -> Q | None:
    # The same columns of login sessions and of connections.
    session = Q(idp_session=hash_idp_session(logout.provider, logout.issuer, logout.sid)) if logout.sid else Q()
    if not logout.sub:
        return session
    identity = known_identity(logout.provider, logout.issuer, logout.sub)
    if identity is None:
        return None
    if logout.sid:
        # A login of theirs at which the IdP named no session may have been in that one.
        session |= Q(idp_session="")
    return session & Q(identity=identity)
