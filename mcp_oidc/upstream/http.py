"""HTTP to the identity provider: bounded in time and in size, and without surprises from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from http.cookiejar import DefaultCookiePolicy
from time import monotonic
from typing import Any

import requests
from requests.adapters import HTTPAdapter
from urllib3.exceptions import HTTPError, ProtocolError

from mcp_oidc.errors import InvalidRequest, UpstreamError, UpstreamUnavailable
from mcp_oidc.protocol.forms import parse_json_object
from mcp_oidc.upstream.bulkhead import MAX_CALLS, Bulkhead, Congested

# From the first look-up of the name to the last byte, a second try included.
TOTAL_SECONDS = 10.0
MAX_BYTES = 256 * 1024
# Seconds after which connections are made anew. Load balancers close idle ones after a minute, and firewalls drop them
# without a word: a POST would be lost on such a one, and what it carries cannot be sent twice.
MAX_CONNECTION_AGE = 50
_CHUNK = 16 * 1024
_TRY_LATER = frozenset({408, 425, 429})
# Of whatever stands in front of the provider, which may find another instance the next time.
_GATEWAY_ERRORS = frozenset({502, 503, 504})


@dataclass(frozen=True)
class Answer:
    """What the identity provider answered. `where` names the request in messages and holds nothing secret."""

    where: str
    status: int
    body: bytes = field(repr=False)
    # Without parameters, in small letters; empty where there is none.
    content_type: str = ""

    @property
    def is_success(self) -> bool:
        return 200 <= self.status < 300

    def json(self) -> dict[str, Any]:
        """The JSON object in the body. Raises `UpstreamUnavailable`: what is not JSON is mostly a proxy's page."""
        try:
            return parse_json_object(self.body, max_bytes=MAX_BYTES)
        except InvalidRequest:
            raise UpstreamUnavailable(f"{self.where} answered {self.status} without a JSON object") from None


class HttpClient:
    """The way to one provider. Connections are kept and shared by all threads of a process.

    `timeout` is in seconds. `proxy` is the URL of an HTTP proxy, `ca_bundle` a file of PEM certificates. Proxies,
    certificates and passwords of the environment (HTTPS_PROXY, REQUESTS_CA_BUNDLE, ~/.netrc) do not count.
    """

    def __init__(self, *, timeout: float = TOTAL_SECONDS, proxy: str = "", ca_bundle: str = "") -> None:
        self.timeout = timeout
        self._proxy = proxy
        self._ca_bundle = ca_bundle
        self._bulkhead = Bulkhead()

    def get(self, url: str, *, bearer: str = "") -> Answer:
        """The answer to a GET, with an access token if one is given. Raises as `post` does.

        It is tried once more, within the same time, where the connection broke or a gateway answered.
        """
        headers = {"Authorization": f"Bearer {bearer}"} if bearer else {}
        return self._within_time(_Request("GET", url, headers=headers))

    def post(self, url: str, form: Mapping[str, str], *, headers: Mapping[str, str]) -> Answer:
        """The answer to a form, successful or a 4xx. It is sent once: codes and refresh tokens are good for one use.

        Raises `UpstreamUnavailable` where there is none in time, it is a 5xx, or too many wait for one already, and
        `UpstreamError` where it is too large or a redirect, which is never followed.
        """
        return self._within_time(_Request("POST", url, headers=headers, form=form))

    def _within_time(self, request: _Request) -> Answer:
        deadline = monotonic() + self.timeout
        try:
            return self._bulkhead.call(self.timeout, lambda: self._exchange(request, deadline), name="mcp_oidc-idp")
        except TimeoutError:
            raise self._too_late(request) from None
        except Congested:
            raise UpstreamUnavailable(f"{request.where} was not sent: too many others wait for an answer") from None

    def _exchange(self, request: _Request, deadline: float) -> Answer:
        try:
            return self._send(request, deadline)
        except _Hiccup:
            if request.method != "GET" or monotonic() >= deadline:
                raise
        return self._send(request, deadline)

    def _send(self, request: _Request, deadline: float) -> Answer:
        try:
            with self._session.request(
                request.method,
                request.url,
                headers=dict(request.headers),
                data=request.form,
                timeout=max(deadline - monotonic(), 0.001),
                allow_redirects=False,
                stream=True,
            ) as response:
                _require_usable(response.status_code, request.where)
                body = self._read(response, request, deadline)
                return Answer(request.where, response.status_code, body, _content_type(response))
        except (OSError, HTTPError) as error:
            raise _failure(request.where, error) from None

    def _read(self, response: requests.Response, request: _Request, deadline: float) -> bytes:
        body = bytearray()
        # read1 returns what has come, so that the checks run however slowly it comes. Nothing is decompressed.
        while chunk := response.raw.read1(_CHUNK, decode_content=False):
            body += chunk
            if len(body) > MAX_BYTES:
                raise UpstreamError(f"{request.where} answered more than {MAX_BYTES} bytes")
            if monotonic() > deadline:
                raise self._too_late(request)
        return bytes(body)

    def _too_late(self, request: _Request) -> UpstreamUnavailable:
        return UpstreamUnavailable(f"{request.where} took longer than {self.timeout:g} s")

    @property
    def _session(self) -> requests.Session:
        return _session(self._proxy, self._ca_bundle, os.getpid(), int(monotonic() // MAX_CONNECTION_AGE))


def get(url: str, *, bearer: str = "") -> Answer:
    """As of a client with the defaults."""
    return _default(os.getpid()).get(url, bearer=bearer)


def post(url: str, form: Mapping[str, str], *, headers: Mapping[str, str]) -> Answer:
    """As of a client with the defaults."""
    return _default(os.getpid()).post(url, form, headers=headers)


@dataclass(frozen=True)
class _Request:
    method: str
    url: str
    headers: Mapping[str, str] = field(repr=False)
    form: Mapping[str, str] | None = field(default=None, repr=False)

    @property
    def where(self) -> str:
        return f"{self.method} {self.url[:200]}"


class _Hiccup(UpstreamUnavailable):
    """It may be over at the next try."""


def _require_usable(status: int, where: str) -> None:
    if status in _GATEWAY_ERRORS:
        raise _Hiccup(f"{where} answered {status}")
    if status >= 500 or status in _TRY_LATER:
        raise UpstreamUnavailable(f"{where} answered {status}")
    if status < 200 or 300 <= status < 400:
        # Following it would send a code or a token to an address that nobody configured.
        raise UpstreamError(f"{where} answered {status}, and redirects are not followed")


def _failure(where: str, error: OSError | HTTPError) -> UpstreamUnavailable:
    # Only its class: the message may quote what was sent.
    reason = f"{where} failed: {type(error).__name__}"
    cause = error.args[0] if isinstance(error, requests.ConnectionError) and error.args else error
    if isinstance(cause, ProtocolError):
        return _Hiccup(reason)
    if isinstance(error, requests.exceptions.SSLError) or not isinstance(error, requests.RequestException | HTTPError):
        # requests raises a bare OSError for a file of certificates that is not there.
        reason += ", so see whether CA_BUNDLE holds the authority of the provider's certificate"
    return UpstreamUnavailable(reason)


def _content_type(response: requests.Response) -> str:
    return response.headers.get("Content-Type", "").partition(";")[0].strip().lower()


# By process, all of it: after a fork, parent and child must not talk over the same connection, and the child waits for
# nothing that a thread of the parent has begun.


@lru_cache(maxsize=1)
def _default(pid: int) -> HttpClient:
    return HttpClient()


@lru_cache(maxsize=2)
def _session(proxy: str, ca_bundle: str, pid: int, period: int) -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.proxies = {"http": proxy, "https": proxy} if proxy else {}
    session.verify = ca_bundle or True
    adapter = HTTPAdapter(pool_maxsize=MAX_CALLS)
    session.mount("https://", adapter)
    session.mount("http://", adapter)
    session.headers.update(
        {"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "django-mcp-oidc"}
    )
    # One user's cookie must not travel with the next user's request.
    session.cookies.set_policy(DefaultCookiePolicy(allowed_domains=[]))
    return session
