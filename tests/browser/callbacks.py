"""A client's end of the redirect: a server on loopback that remembers what browsers brought."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qsl, urlsplit


class Callbacks(ThreadingHTTPServer):
    """`uri` is what a client registers, `answers` what came there, oldest first."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[dict[str, str]] = []

    @property
    def uri(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/callback"


@contextmanager
def listening() -> Iterator[Callbacks]:
    """Listen until the block ends."""
    with Callbacks() as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        yield server
        server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    server: Callbacks

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        body = b"<!doctype html><title>Callback</title><p>You can close this page."
        if parts.path == "/callback":
            pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=True, errors="strict")
            assert len(dict(pairs)) == len(pairs), self.path
            self.server.answers.append(dict(pairs))
        self.send_response(200 if parts.path == "/callback" else 404)
        self.send_header("Content-Type", "text/html")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        """Say nothing."""
