"""Signing takes milliseconds, in which no other request may wait for a lock of this one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction

from mcp_oidc.core import token_sets
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.issuing import RefreshRequest, redeem_code, refresh
from tests.factories import ISSUER, Opened

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def was_in_transaction(monkeypatch: pytest.MonkeyPatch) -> list[bool]:
    """For each signature, whether a transaction was open."""
    seen: list[bool] = []

    def watch(sign: Callable[..., str]) -> Callable[..., str]:
        def signed(*args: Any, **kwargs: Any) -> str:
            seen.append(transaction.get_connection().in_atomic_block)
            return sign(*args, **kwargs)

        return signed

    for name in ("sign_access_token", "sign_jwt"):
        monkeypatch.setattr(token_sets, name, watch(getattr(token_sets, name)))
    return seen


@pytest.mark.requirement("signing-outside-transactions")
def test_nothing_is_signed_in_a_transaction(opened: Opened, caller: Caller, was_in_transaction: list[bool]) -> None:
    tokens = redeem_code(opened.request, opened.client, issuer=ISSUER, caller=caller)
    assert tokens.refresh_token is not None
    refresh(RefreshRequest(tokens.refresh_token, (), None), opened.client, issuer=ISSUER, caller=caller)
    # Access token and ID token, then an access token.
    assert was_in_transaction == [False, False, False]
