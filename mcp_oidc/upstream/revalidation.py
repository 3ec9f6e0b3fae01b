"""Revalidation: whether somebody still has access at the identity provider, which is asked at refreshes of ours.

Its own refresh token tells. A few threads ask, and a refresh of ours waits for them only while the provider answers in
time; what it says later counts as well.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Hashable
from concurrent.futures import Future, wait
from datetime import datetime, timedelta
from enum import Enum
from functools import partial
from typing import TYPE_CHECKING

from mcp_oidc.conf import Upstream, app_settings
from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.connections import Snapshot
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.upstream_tokens import read_tokens
from mcp_oidc.errors import InvalidGrant, TemporarilyUnavailable, UpstreamError, UpstreamLoginRequired
from mcp_oidc.upstream.errands import Errands
from mcp_oidc.upstream.provider import Provider, get_provider
from mcp_oidc.upstream.refresh import renew_tokens

if TYPE_CHECKING:
    from mcp_oidc.models import Identity

logger = logging.getLogger("mcp_oidc.upstream")

THREADS = 8
# Identities that wait for their turn. More of them are asked about at their next refresh.
MAX_WAITING = 1000
# For which a refresh waits that goes on without an answer.
LENIENT_SECONDS = 2.0
# For which an operator waits who has it asked.
PATIENCE_SECONDS = 15.0

_LOG_IN_AGAIN = "The user has to log in again."


class Answer(Enum):
    """What the provider says of somebody."""

    HAS_ACCESS = "has_access"
    HAS_NO_ACCESS = "has_no_access"
    # Not within the time, or nothing usable.
    NONE = "no_answer"
    # There is no refresh token to ask with.
    CANNOT_BE_ASKED = "cannot_be_asked"


def revalidate(snapshot: Snapshot) -> bool:
    """Ask the provider about the user of a connection, if that is due. True if it was, and may have taken time.

    Where the provider has ended its refresh token, the connection has ended. An outage ends nothing: with
    REVALIDATE_STRICT it raises `TemporarilyUnavailable`, else it changes nothing, and the next refresh asks again.
    Raises `InvalidGrant` for a user whose issuer the settings do not name any more, such as one of several tenants, and
    for one without any tokens of the provider: about them it could never be asked again.
    """
    identity, provider = snapshot.connection.identity, get_provider()
    if identity is None or provider is None:
        return False
    upstream = provider.upstream
    if identity.provider == upstream.name:
        _require_login(provider, snapshot, identity)
    if not _is_due(snapshot.idp_asked_at, snapshot.now, upstream):
        return False
    question = _questions.send(identity.pk)
    seconds = upstream.timeout if upstream.revalidate_strict else LENIENT_SECONDS
    is_settled = question is not None and _patience.wait(question, seconds)
    if upstream.revalidate_strict and not is_settled:
        raise TemporarilyUnavailable("The identity provider does not answer.", log="the user could not be revalidated")
    return True


def ask_again(
    identities: Collection[Identity], *, caller: Caller, seconds: float = PATIENCE_SECONDS
) -> Counter[Answer]:
    """Ask the provider at once whether these people still have access, whenever it was asked last. How many of each.

    Who has lost it has lost their connections as well. The answers are waited for as long as `seconds`, all in all;
    what comes later counts, too. Call it outside of a transaction.
    """
    started = {identity.pk: _version_of(identity.pk) for identity in identities}
    sent = [_orders.send(pk) for pk, version in started.items() if version is not None]
    wait([each for each in sent if each is not None], timeout=seconds)
    answers = Counter[Answer]()
    for identity in identities:
        answer = _answer(started[identity.pk], _version_of(identity.pk))
        answers[answer] += 1
        outcome = Outcome.REFUSED if answer is Answer.HAS_NO_ACCESS else Outcome.ALLOWED
        detail = {"provider": identity.provider}
        record(Kind.IDENTITY_ASKED, outcome, reason=answer.value, user=identity.user, caller=caller, detail=detail)
    return answers


def wait_for_answers(timeout: float) -> bool:
    """Wait until the provider has been asked all there is to ask. False if `timeout`, in seconds, was too short."""
    return _questions.wait(timeout) and _orders.wait(timeout)


def _require_login(provider: Provider, snapshot: Snapshot, identity: Identity) -> None:
    """Raise `InvalidGrant` for who has to log in again. The connection stays, and serves again after that."""
    if not provider.is_issuer(identity.issuer):
        # A setting that was wrong for an hour must not cost everybody their connections.
        raise InvalidGrant(_LOG_IN_AGAIN, log="the issuer of the user is none of the settings")
    if provider.upstream.revalidate_after is not None and not snapshot.has_idp_tokens:
        # They were dropped with the last connection of the user, while this one was being approved.
        raise InvalidGrant(_LOG_IN_AGAIN, log="there are no tokens of the identity provider for the user")


class _Patience:
    """How long to wait. Not at all while the provider does not answer in time: one that hangs holds up no refresh."""

    def __init__(self) -> None:
        self._answers_in_time = True

    def wait(self, question: Future[bool], seconds: float) -> bool:
        try:
            return question.result(seconds if self._answers_in_time else 0)
        except TimeoutError:
            self._answers_in_time = False
            question.add_done_callback(self._regain)
            return False

    def _regain(self, question: Future[bool]) -> None:
        self._answers_in_time = self._answers_in_time or question.result()


def _version_of(identity_id: int) -> Hashable | None:
    """What tells one token set from the next; None where there is none to ask with."""
    try:
        stored = read_tokens(identity_id)
    except UpstreamLoginRequired:
        return None
    return (stored.key, stored.version) if stored.tokens.refresh_token is not None else None


def _answer(before: Hashable | None, after: Hashable | None) -> Answer:
    if before is None:
        return Answer.CANNOT_BE_ASKED
    if after is None:
        return Answer.HAS_NO_ACCESS
    return Answer.NONE if after == before else Answer.HAS_ACCESS


def _settle(identity_id: int, *, is_order: bool = False) -> bool:
    upstream = app_settings.UPSTREAM
    try:
        stored = read_tokens(identity_id)
        # Another process may have asked meanwhile.
        if upstream is not None and (is_order or _is_due(stored.obtained_at, stored.now, upstream)):
            renew_tokens(stored)
    except UpstreamLoginRequired:
        # The connection has ended by now, if the provider said no; else it had no say in it.
        return True
    except UpstreamError:
        return False
    except Exception:
        # Whatever it was, this thread has others to ask about.
        logger.warning("the identity provider could not be asked about a user", exc_info=True)
        return False
    return True


def _is_due(asked_at: datetime | None, now: datetime, upstream: Upstream) -> bool:
    if asked_at is None or upstream.revalidate_after is None:
        return False
    return now - asked_at >= timedelta(seconds=upstream.revalidate_after)


_questions: Errands[int] = Errands(_settle, name="mcp_oidc-revalidation", threads=THREADS, room=MAX_WAITING)
_orders: Errands[int] = Errands(
    partial(_settle, is_order=True), name="mcp_oidc-orders", threads=THREADS, room=MAX_WAITING
)
_patience = _Patience()
