"""The way to the provider: bounded in time, size and number, kept connections, a proxy, a private authority."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from time import monotonic
from typing import Any

import pytest
import requests

from mcp_oidc.errors import UpstreamError, UpstreamUnavailable
from mcp_oidc.upstream import bulkhead, http
from mcp_oidc.upstream.bulkhead import MAX_CALLS, MAX_WAITING, Bulkhead, Congested
from mcp_oidc.upstream.http import HttpClient
from tests.idp import Idp
from tests.upstream.wire import Wire, listening, make_certificate

SECRET = "the-code"
# Seconds for answers that do come, however busy the machine is.
ENOUGH = 20


class Clock:
    """A clock that stands still until a test moves it ahead."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """By which requests and connections go."""
    clock = Clock()
    monkeypatch.setattr(http, "monotonic", clock)
    return clock


@pytest.fixture
def wire() -> Iterator[Wire]:
    with listening() as wire:
        yield wire


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    return make_certificate(tmp_path / "authority.pem")


@pytest.fixture
def client(clock: Clock) -> HttpClient:
    http._session.cache_clear()
    return HttpClient(timeout=ENOUGH)


def refusal(client: HttpClient, wire: Wire, *, method: str = "GET") -> UpstreamUnavailable:
    with pytest.raises(UpstreamUnavailable) as refusal:
        client.get(wire.url) if method == "GET" else client.post(wire.url, {"code": SECRET}, headers={})
    return refusal.value


def test_answer_has_its_type_without_parameters(client: HttpClient, wire: Wire) -> None:
    assert client.get(wire.url).content_type == "application/json"


def test_connection_is_kept_and_shared(client: HttpClient, wire: Wire) -> None:
    for _ in range(3):
        client.get(wire.url)
    client.post(wire.url, {}, headers={})
    assert wire.methods == ["GET", "GET", "GET", "POST"]
    assert wire.connections == 1


@pytest.mark.requirement("upstream-idle-connection")
def test_post_does_not_go_over_a_connection_that_was_closed_while_idle(client: HttpClient, wire: Wire) -> None:
    wire.steps = ["answer and close"]
    client.post(wire.url, {}, headers={})
    assert wire.has_closed.wait(ENOUGH)
    assert client.post(wire.url, {}, headers={}).status == 200
    assert (len(wire.requests), wire.connections) == (2, 2)


@pytest.mark.requirement("upstream-idle-connection")
def test_connection_is_not_used_any_more_after_a_while(client: HttpClient, wire: Wire, clock: Clock) -> None:
    # A firewall may have dropped it without a word to either side.
    client.get(wire.url)
    clock.now += http.MAX_CONNECTION_AGE
    client.post(wire.url, {}, headers={})
    assert wire.connections == 2


def test_connection_of_another_process_is_not_used(
    client: HttpClient, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get(wire.url)
    monkeypatch.setattr("os.getpid", lambda: -1)
    client.get(wire.url)
    assert wire.connections == 2


@pytest.mark.requirement("upstream-retry")
@pytest.mark.parametrize("step", ["close", 502, 503, 504])
def test_get_is_tried_once_more_where_the_next_try_may_do(client: HttpClient, wire: Wire, step: int | str) -> None:
    wire.steps = [step]
    assert client.get(wire.url).status == 200
    assert len(wire.requests) == 2


@pytest.mark.requirement("upstream-retry")
@pytest.mark.parametrize("step", ["close", 503])
def test_get_is_not_tried_a_third_time(client: HttpClient, wire: Wire, step: int | str) -> None:
    wire.steps = [step] * 3
    refusal(client, wire)
    assert len(wire.requests) == 2


@pytest.mark.parametrize("step", [500, 429, 501])
def test_get_is_not_tried_again_where_that_would_not_help(client: HttpClient, wire: Wire, step: int) -> None:
    wire.steps = [step]
    refusal(client, wire)
    assert len(wire.requests) == 1


@pytest.mark.requirement("upstream-retry")
@pytest.mark.parametrize("step", ["close", 502, 503, 504])
def test_post_is_sent_once(client: HttpClient, wire: Wire, step: int | str) -> None:
    wire.steps = [step]
    refusal(client, wire, method="POST")
    assert len(wire.requests) == 1


@pytest.mark.requirement("upstream-retry")
def test_second_try_has_the_rest_of_the_time_and_no_more(
    client: HttpClient, wire: Wire, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts: list[float] = []
    send = requests.Session.request

    def send_slowly(session: requests.Session, method: str, url: str, **options: Any) -> requests.Response:
        timeouts.append(options["timeout"])
        clock.now = 15
        return send(session, method, url, **options)

    monkeypatch.setattr(requests.Session, "request", send_slowly)
    wire.steps = [503]
    client.get(wire.url)
    assert timeouts == [ENOUGH, ENOUGH - 15]


@pytest.mark.requirement("upstream-retry")
def test_second_try_is_not_begun_when_the_time_is_over(
    client: HttpClient, wire: Wire, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run_out(status: int, where: str) -> None:
        clock.now += ENOUGH
        require_usable(status, where)

    require_usable = http._require_usable
    monkeypatch.setattr(http, "_require_usable", run_out)
    wire.steps = [503]
    refusal(client, wire)
    assert len(wire.requests) == 1


@pytest.mark.requirement("upstream-hanging")
def test_answer_that_does_not_come_is_not_waited_for(wire: Wire) -> None:
    wire.steps = ["hang"]
    started = monotonic()
    refusal(HttpClient(timeout=0.1), wire)
    # It would hang for longer.
    assert monotonic() - started < ENOUGH


def test_redirect_of_the_token_endpoint_is_not_followed(idp: Idp) -> None:
    idp.faults = {"token": "redirect"}
    with pytest.raises(UpstreamError, match="redirects are not followed"):
        http.post(f"{idp.issuer}/token", {"code": "secret"}, headers={})


def test_cookies_of_the_provider_are_not_kept(idp: Idp) -> None:
    idp.headers = {"Set-Cookie": "user=alice; Path=/"}
    http.get(f"{idp.issuer}/jwks")
    http.get(f"{idp.issuer}/jwks")
    assert "Cookie" not in idp.last_headers


def test_compressed_answer_is_not_inflated(idp: Idp) -> None:
    http.get(f"{idp.issuer}/jwks")
    assert idp.last_headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("step", ["close", 500, "hang"])
def test_messages_name_the_request_and_repeat_nothing_of_it(wire: Wire, step: int | str) -> None:
    wire.steps = [step]
    client = HttpClient(timeout=0.3, proxy=wire.url.replace("//", "//user:the-password@"))
    with pytest.raises(UpstreamUnavailable) as refusal:
        client.post("http://localhost:1/token", {"code": SECRET}, headers={"Authorization": "Basic c2VjcmV0"})
    assert "http://localhost:1/token" in str(refusal.value)
    assert not [secret for secret in (SECRET, "c2VjcmV0", "the-password") if secret in str(refusal.value)]


@pytest.mark.requirement("upstream-netrc")
def test_password_of_netrc_does_not_replace_our_token(
    idp: Idp, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login root password hunter2\n")
    netrc.chmod(0o600)
    monkeypatch.setenv("NETRC", str(netrc))
    http.get(f"{idp.issuer}/jwks")
    assert "Authorization" not in idp.last_headers
    http.get(f"{idp.issuer}/jwks", bearer="the-token")
    assert idp.last_headers["Authorization"] == "Bearer the-token"


def test_proxy_and_authorities_of_the_environment_do_not_count(
    client: HttpClient, wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", "/no/such/file")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    assert client.get(wire.url).status == 200


@pytest.mark.requirement("upstream-proxy")
def test_proxy_is_used_for_http_with_its_password(wire: Wire) -> None:
    client = HttpClient(timeout=ENOUGH, proxy=wire.url.replace("//", "//user:pass%20word@"))
    assert client.get("http://localhost:1/jwks").status == 200
    ((method, target, headers),) = wire.requests
    assert (method, target) == ("GET", "http://localhost:1/jwks")
    assert headers["Proxy-Authorization"] == "Basic dXNlcjpwYXNzIHdvcmQ="


@pytest.mark.requirement("upstream-proxy")
def test_https_goes_through_the_proxy_and_shows_it_nothing(wire: Wire, certificate: Path) -> None:
    proxy = wire.url.replace("//", "//user:word@")
    with listening(certificate) as provider:
        client = HttpClient(timeout=ENOUGH, proxy=proxy, ca_bundle=str(certificate))
        assert client.get(provider.url, bearer="the-token").status == 200
        ((method, target, headers),) = wire.requests
        assert (method, f"https://{target}") == ("CONNECT", provider.url)
        assert headers["Proxy-Authorization"] == "Basic dXNlcjp3b3Jk"
        assert "Authorization" not in headers
        ((_, _, headers),) = provider.requests
        assert headers["Authorization"] == "Bearer the-token"
        assert "Proxy-Authorization" not in headers


def test_proxy_that_is_down_is_unavailable(wire: Wire) -> None:
    reason = refusal(HttpClient(timeout=ENOUGH, proxy="http://user:the-password@127.0.0.1:9"), wire)
    assert str(reason).endswith("failed: ProxyError")
    assert not wire.requests


@pytest.mark.requirement("upstream-ca-bundle")
def test_private_authority_is_trusted_by_setting_alone(certificate: Path) -> None:
    with listening(certificate) as provider:
        reason = refusal(HttpClient(timeout=ENOUGH), provider)
        assert "CA_BUNDLE" in str(reason)
        assert not provider.requests
        assert HttpClient(timeout=ENOUGH, ca_bundle=str(certificate)).get(provider.url).status == 200


def test_authority_of_another_does_not_do(certificate: Path, tmp_path: Path) -> None:
    with listening(certificate) as provider:
        refusal(HttpClient(timeout=ENOUGH, ca_bundle=str(make_certificate(tmp_path / "other.pem"))), provider)
        assert not provider.requests


def test_authority_that_is_not_there_is_unavailable_and_named(certificate: Path) -> None:
    with listening(certificate) as provider:
        assert "CA_BUNDLE" in str(refusal(HttpClient(timeout=ENOUGH, ca_bundle="/no/such/file"), provider))


@pytest.mark.requirement("upstream-hanging")
def test_calls_beyond_a_few_are_refused_at_once_while_the_provider_hangs(
    wire: Wire, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulkhead, "SLOW_SECONDS", 0)
    wire.steps = ["hang"] * 100
    client = HttpClient(timeout=20)
    threads = [threading.Thread(target=refusal, args=(client, wire), daemon=True) for _ in range(MAX_WAITING)]
    for thread in threads:
        thread.start()
    _until(lambda: len(wire.requests) == MAX_WAITING)
    started = monotonic()
    assert "was not sent" in str(refusal(client, wire, method="POST"))
    assert monotonic() - started < 10
    assert len(wire.requests) == MAX_WAITING
    wire.stopping.set()
    for thread in threads:
        thread.join(10)
    # The first answer opens the door again.
    wire.steps = []
    assert client.get(wire.url).status == 200


def test_provider_that_answers_may_be_asked_by_many_at_the_same_time(wire: Wire) -> None:
    client = HttpClient(timeout=20)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: client.get(wire.url).status, range(60)))
    assert answers == [200] * 60


@pytest.mark.requirement("upstream-hanging")
def test_threads_are_bounded_even_if_they_outlive_their_callers() -> None:
    gate, release = Bulkhead(), threading.Event()
    try:
        for _ in range(MAX_CALLS):
            with pytest.raises(TimeoutError):
                gate.call(0, release.wait, name="stuck")
        with pytest.raises(Congested):
            gate.call(0, release.wait, name="one too many")
    finally:
        release.set()
    _until(lambda: _is_free(gate))


def test_call_after_a_time_out_is_one_of_a_few_until_one_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    clock, gate, release = Clock(), Bulkhead(), threading.Event()
    monkeypatch.setattr(bulkhead, "monotonic", clock)

    def time_out() -> None:
        clock.now += bulkhead.SLOW_SECONDS
        raise TimeoutError

    with pytest.raises(TimeoutError):
        gate.call(20, time_out, name="hanging")
    with ThreadPoolExecutor(MAX_WAITING) as pool:
        begun = [threading.Event() for _ in range(MAX_WAITING)]
        for event in begun:
            pool.submit(gate.call, 20, lambda event=event: (event.set(), release.wait(20)), name="probing")
        assert all(event.wait(10) for event in begun)
        with pytest.raises(Congested):
            gate.call(20, int, name="one too many")
        release.set()
    assert gate.call(20, int, name="let in") == 0
    with ThreadPoolExecutor(MAX_WAITING + 1) as pool:
        # More than a few, because it answers: each waits until all are there.
        barrier = threading.Barrier(MAX_WAITING + 1)
        calls = [pool.submit(gate.call, 20, lambda: barrier.wait(10), name="many") for _ in range(MAX_WAITING + 1)]
        assert sorted(call.result(20) for call in calls) == list(range(MAX_WAITING + 1))


def test_process_without_threads_refuses_and_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    gate = Bulkhead()
    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", _no_thread)
        for _ in range(MAX_CALLS + 1):
            with pytest.raises(Congested):
                gate.call(1, int, name="unlucky")
    assert gate.call(10, int, name="lucky") == 0


def _no_thread(self: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def _is_free(gate: Bulkhead) -> bool:
    try:
        return gate.call(10, lambda: True, name="asking")
    except Congested:
        return False


def _until(holds: object) -> None:
    assert callable(holds)
    deadline = monotonic() + 20
    while not holds():
        assert monotonic() < deadline
        threading.Event().wait(0.01)
