"""The invariants of every test with faults, checked after each of them on the log of its clients and the servers'."""

from __future__ import annotations

import base64
import json
import time
import uuid
from collections import defaultdict
from collections.abc import Mapping

from mcp_oidc.protocol.opaque_tokens import parse_token
from tests.faults.exchanges import Answer, Log
from tests.faults.leaks import leaked
from tests.faults.site import Site

# Seconds after a fault in which a site has to be well again by itself.
RECOVERY_SECONDS = 5
# And those that a busy machine may take to end what killed servers had begun.
SETTLING_SECONDS = 60
TOKEN_MEMBERS = ("access_token", "refresh_token", "scope", "token_type")


def check(site: Site, log: Log, server_logs: str) -> None:
    """Fail with what was broken."""
    check_spending(log)
    check_revocation(log)
    assert not log.stranded
    check_answers(log)
    check_recovery(log)
    assert not leaked(server_logs.encode(), (secret.encode() for secret in log.secrets))
    check_rows(site)


def check_spending(log: Log) -> None:
    """No code was redeemed twice, and no refresh token ever had two successors."""
    successors = defaultdict(list)
    for exchange in log.issued:
        assert exchange.answer is not None
        spent = exchange.sent.get("code") or exchange.sent["refresh_token"]
        successors[spent].append(exchange.answer.document["refresh_token"])
    for spent, given in successors.items():
        assert len(given) == 1 or spent.startswith("mcpr_"), f"a code was redeemed {len(given)} times"
        assert len(set(given)) == 1, f"a refresh token has {len(set(given))} successors"


def check_revocation(log: Log) -> None:
    """Nothing was taken of a connection that had ended when it was asked for."""
    for exchange in log.exchanges:
        ended = log.revoked.get(_connection_of(exchange.sent))
        if ended is not None and exchange.started > ended and exchange.path != "/token/revocation":
            assert exchange.answer is None or exchange.answer.status in (400, 401), (
                f"{exchange.path} took a token of a connection that had ended"
            )


def check_answers(log: Log) -> None:
    """Every answer of the token endpoint is a full token set or an OAuth error in JSON."""
    for exchange in log.exchanges:
        if exchange.path == "/token" and exchange.answer is not None:
            _check_token_answer(exchange.answer)


def check_recovery(log: Log) -> None:
    """Some seconds after the fault, everything is answered, and not by an outage."""
    if log.fault_ended is None:
        return
    late = [each for each in log.exchanges if each.started > log.fault_ended + RECOVERY_SECONDS]
    assert all(each.answer is not None and each.answer.status < 500 for each in late if not each.is_lost)


def check_rows(site: Site) -> None:
    """Nothing half-written stays. Requests whose clients hung up may still be at it for a moment."""
    deadline = time.monotonic() + SETTLING_SECONDS
    while found := site.backstage.ask("contradictions"):
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def _check_token_answer(answer: Answer) -> None:
    assert answer.headers["content-type"].startswith("application/json"), answer
    document = answer.document
    if answer.status == 200:
        assert all(document[member] and isinstance(document[member], str) for member in TOKEN_MEMBERS)
        assert document["expires_in"] > 0
        assert None not in document.values()
        return
    assert answer.status in (400, 401, 429, 503), answer
    assert document["error"]
    assert "retry-after" in answer.headers or answer.status in (400, 401)


def _connection_of(sent: Mapping[str, str]) -> str:
    """The connection whose code or token a request carried, or nothing."""
    text = sent.get("code") or sent.get("refresh_token") or sent.get("token")
    if not text:
        return ""
    token = parse_token(text)
    return str(uuid.UUID(_claims(text)["sid"]) if token is None else token.connection_id)


def _claims(access_token: str) -> dict[str, str]:
    claims: dict[str, str] = json.loads(base64.urlsafe_b64decode(access_token.split(".")[1] + "=="))
    return claims
