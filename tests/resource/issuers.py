"""An issuer on a port of its own, as a resource server elsewhere reaches it: its keys, and what it says of tokens."""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs

from mcp_oidc.protocol.jwks import SigningJwk, public_jwks


@dataclass
class PublishedIssuer:
    """What it publishes may be changed while it runs."""

    keys: list[Any]
    url: str = ""
    is_down: bool = False
    # Whatever else it answers to introspection.
    answer: Any = None
    revoked: set[str] = field(default_factory=set)
    requests: Counter[str] = field(default_factory=Counter)
    credentials: set[str | None] = field(default_factory=set)

    def respond(self, path: str, authorization: str | None, form: dict[str, list[str]]) -> Any:
        self.requests[path] += 1
        if path == "/jwks":
            return {"keys": self.keys}
        self.credentials.add(authorization)
        return {"active": form["token"][0] not in self.revoked} if self.answer is None else self.answer


@contextmanager
def published_issuer(key: SigningJwk) -> Iterator[PublishedIssuer]:
    """An issuer that publishes `key`, until the block ends."""
    issuer = PublishedIssuer(public_jwks([key])["keys"])

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            length = int(self.headers["Content-Length"] or 0)
            form = parse_qs(self.rfile.read(length).decode())
            body = json.dumps(issuer.respond(self.path, self.headers["Authorization"], form)).encode()
            self.send_response(503 if issuer.is_down else 200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET  # noqa: N815  # the name that the base class looks for

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name that the base class gives
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    issuer.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield issuer
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
