"""An endpoint of the provider that fails. Nobody waits long for what never comes, and all else has its time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pytest

from mcp_oidc.upstream.http import Answer, HttpClient
from mcp_oidc.upstream.provider import get_provider
from tests.idp import Idp
from tests.idp_server import ENDPOINTS

# Faults whose answers never come to an end.
_ENDLESS = ("hang", "headers drop by drop", "body drop by drop")
_A_MOMENT = 0.3


@contextmanager
def failing(idp: Idp, endpoint: str, fault: int | str) -> Iterator[None]:
    """One endpoint of the provider fails until the block ends."""
    provider = get_provider()
    assert provider is not None
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(idp, "faults", {endpoint: fault})
        if fault in _ENDLESS:
            (path,) = (path for path, name in ENDPOINTS.items() if name == endpoint)
            patch.setattr(provider, "http", _GivesUpSoon(idp.issuer + path))
        yield


class _GivesUpSoon(HttpClient):
    """Waits no more than a moment for the answer of one URL."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._url = url
        self._impatient = HttpClient(timeout=_A_MOMENT)

    def get(self, url: str, *, bearer: str = "") -> Answer:
        if url == self._url:
            return self._impatient.get(url, bearer=bearer)
        return super().get(url, bearer=bearer)

    def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str]) -> Answer:
        if url == self._url:
            return self._impatient.post(url, form, headers=headers)
        return super().post(url, form, headers=headers)
