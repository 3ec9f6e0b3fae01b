"""The invariants notice what they are there for."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from typing import Any

import pytest

from mcp_oidc.protocol.opaque_tokens import Kind, MacKey, make_token
from tests.faults.exchanges import Answer, Exchange, Log
from tests.faults.invariants import check_answers, check_recovery, check_revocation, check_spending
from tests.faults.leaks import leaked

CONNECTION = uuid.uuid4()
JSON = {"content-type": "application/json"}
TOKENS = {"access_token": "a", "refresh_token": "r", "scope": "mcp", "token_type": "Bearer", "expires_in": 3600}


def token(kind: Kind, generation: int) -> str:
    return make_token(kind, CONNECTION, generation, salt="salt", key=MacKey(b"key"))


CODE = {"code": token(Kind.CODE, 0)}
REFRESH = {"refresh_token": token(Kind.REFRESH, 1)}


def answer(status: int = 200, *, headers: Mapping[str, str] = JSON, **members: Any) -> Answer:
    return Answer(status, headers, json.dumps(members or TOKENS).encode())


def log_of(*exchanges: tuple[Mapping[str, str], Answer | None]) -> Log:
    """A log in which one exchange with the token endpoint follows another, second by second."""
    log = Log()
    for second, (sent, given) in enumerate(exchanges):
        log.add(Exchange("A", "/token", sent, given, True, given is None, second, second + 0.5))
    return log


def test_code_that_bought_tokens_twice_is_noticed() -> None:
    check_spending(log_of((CODE, answer()), (CODE, answer(400, error="invalid_grant")), (CODE, None)))
    with pytest.raises(AssertionError, match="code was redeemed 2 times"):
        check_spending(log_of((CODE, answer()), (CODE, answer())))


def test_second_successor_is_noticed() -> None:
    check_spending(log_of((REFRESH, answer()), (REFRESH, answer())))
    with pytest.raises(AssertionError, match="2 successors"):
        check_spending(log_of((REFRESH, answer()), (REFRESH, answer(**{**TOKENS, "refresh_token": "other"}))))


def test_token_that_is_taken_after_its_end_is_noticed() -> None:
    log = log_of((REFRESH, answer()), (REFRESH, answer(400, error="invalid_grant")))
    log.revoked[str(CONNECTION)] = 0.5
    check_revocation(log)
    log.revoked[str(CONNECTION)] = -0.5
    with pytest.raises(AssertionError, match="had ended"):
        check_revocation(log)


@pytest.mark.parametrize(
    "bad",
    [
        answer(headers={"content-type": "text/html"}),
        answer(**{**TOKENS, "access_token": ""}),
        answer(**{**TOKENS, "refresh_token": None}),
        answer(**{**TOKENS, "id_token": None}),
        answer(500, error="server_error"),
        answer(503, error="temporarily_unavailable"),
        answer(400, error=""),
    ],
)
def test_answer_that_is_neither_tokens_nor_an_error_is_noticed(bad: Answer) -> None:
    check_answers(log_of((CODE, answer()), (CODE, answer(400, error="invalid_grant"))))
    with pytest.raises(AssertionError):
        check_answers(log_of((CODE, bad)))


def test_site_that_does_not_recover_in_time_is_noticed() -> None:
    log = log_of(*[(CODE, answer(503, error="temporarily_unavailable"))] * 8)
    log.fault_ended = 2.5
    check_recovery(log)
    log.fault_ended = 1.5
    with pytest.raises(AssertionError):
        check_recovery(log)


def test_secret_in_a_text_is_noticed_by_its_end() -> None:
    log = log_of((CODE, answer(**{**TOKENS, "access_token": "header.payload.signature-of-a-token"})))
    secrets = [each.encode() for each in log.secrets if len(each) >= 20]
    assert leaked(b"nothing of the kind, nor mcpc_ alone", secrets) == []
    assert leaked(f"?code={CODE['code']}&state=x".encode(), secrets) == [CODE["code"][:8].encode()]
    assert leaked(b"cut off: ...oad.signature-of-a-token", secrets) == [b"header.p"]
