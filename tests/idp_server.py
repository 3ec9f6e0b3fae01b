"""The provider of `tests.idp` on loopback, in a thread, with the faults of a network and of a tired server.

with running_idp(rotates=True) as idp:
    callback_url = idp.log_in(location_of_the_login, "alice")
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.idp import Idp, Params, Reply

ENDPOINTS = {
    "/.well-known/openid-configuration": "discovery",
    "/jwks": "jwks",
    "/authorize": "authorize",
    "/decide": "decide",
    "/token": "token",
    "/userinfo": "userinfo",
    "/revoke": "revocation",
}

# What comes drop by drop keeps every time-out of a socket from running out.
_DROPS = {
    "headers drop by drop": (b"HTTP/1.1 200 OK\r\n", b"X-Drop: 1\r\n"),
    "body drop by drop": (b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n", b" "),
}


@contextmanager
def running_idp(**settings: Any) -> Iterator[Idp]:
    """A provider that runs until the block ends."""
    idp = Idp(**settings)
    with serving(idp, ENDPOINTS) as origin:
        idp.issuer = origin
        yield idp


@contextmanager
def serving(idp: Idp, endpoints: Mapping[str, str]) -> Iterator[str]:
    """The origin at which `idp` is served, with its endpoints by their paths."""
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"idp": idp, "endpoints": endpoints}))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        idp.stopping.set()
        server.shutdown()
        server.server_close()


class _Server(ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        # Whoever has read enough of an oversized answer hangs up.
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    idp: Idp
    endpoints: Mapping[str, str]
    protocol_version = "HTTP/1.1"
    # Head and body go out one after the other, and the second would wait for the first to be acknowledged.
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def log_message(self, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length", 0))).decode()
        endpoint = self.endpoints.get(parts.path, "nowhere")
        self.idp.requests[endpoint] += 1
        fault = self.idp.faults.get(endpoint)
        if fault in ("hang", "close", *_DROPS):
            self._stall(str(fault))
            return
        if fault is not None or endpoint == "nowhere":
            self._send(_fault_reply(fault or 404))
            return
        self.idp.stopping.wait(self.idp.delays.get(endpoint, 0))
        query, form = _pairs(parts.query), _pairs(body)
        self._send(self.idp.respond(endpoint, query, form, dict(self.headers)))

    def _send(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in {**self.idp.headers, **reply.headers, "Content-Length": str(len(reply.body))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(reply.body)

    def _stall(self, fault: str) -> None:
        self.close_connection = True
        if fault == "hang":
            self.idp.stopping.wait(30)
        if fault in _DROPS:
            self._drop(*_DROPS[fault])

    def _drop(self, beginning: bytes, drop: bytes) -> None:
        self.wfile.write(beginning)
        try:
            while not self.idp.stopping.wait(0.02):
                self.wfile.write(drop)
        except OSError:
            return


def _fault_reply(fault: int | str) -> Reply:
    replies = {
        "garbage": Reply(body=b"<html>Welcome to the airport's network</html>"),
        "array": Reply(body=b"[1, 2]"),
        "redirect": Reply(302, headers={"Location": "http://127.0.0.1:9/elsewhere"}),
        "oversized": Reply(body=b'{"padding": "' + b"x" * 1_000_000 + b'"}'),
    }
    return replies[fault] if isinstance(fault, str) else Reply(fault, b"<html>no</html>")


def _pairs(text: str) -> Params:
    pairs = parse_qsl(text, keep_blank_values=True)
    assert len(dict(pairs)) == len(pairs), f"a parameter was sent twice: {text}"
    return dict(pairs)
