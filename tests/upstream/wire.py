"""A web server that does at each request what a test tells it, and a proxy in front of others. Both tell what came in.

with listening() as wire:
    wire.steps = [503, "close"]
"""

from __future__ import annotations

import datetime
import ipaddress
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass
class Wire:
    """The server. Its attributes may be changed while it runs."""

    url: str = ""
    # One for each request to come: a status, "hang", "close" (no answer at all), or "answer and close" (which does not
    # announce it). Without one, the answer is 200.
    steps: list[int | str] = field(default_factory=list)
    connections: int = 0
    # Method, target and headers of each request.
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    has_closed: threading.Event = field(default_factory=threading.Event)
    stopping: threading.Event = field(default_factory=threading.Event)

    @property
    def methods(self) -> list[str]:
        return [method for method, _, _ in self.requests]


@contextmanager
def listening(certificate: Path | None = None) -> Iterator[Wire]:
    """A server on loopback that runs until the block ends, by TLS if it has a certificate."""
    wire = Wire()
    server = _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"wire": wire}))
    if certificate is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    wire.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
    try:
        yield wire
    finally:
        wire.stopping.set()
        server.shutdown()
        server.server_close()


def make_certificate(path: Path) -> Path:
    """A certificate for 127.0.0.1 and its key, in one file of PEM. It is its own authority."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "A private authority")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    usage = dict.fromkeys(
        ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "crl_sign"), False
    )
    extensions: list[tuple[x509.ExtensionType, bool]] = [
        (x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False),
        (x509.BasicConstraints(ca=True, path_length=None), True),
        (x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False),
        (x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), False),
        (x509.KeyUsage(True, key_cert_sign=True, encipher_only=False, decipher_only=False, **usage), True),
    ]
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(1).not_valid_before(now - day).not_valid_after(now + day)
    for extension, is_critical in extensions:
        builder = builder.add_extension(extension, is_critical)
    certificate = builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path.write_bytes(private + certificate)
    return path


class _Server(ThreadingHTTPServer):
    request_queue_size = 100

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients hang up in the middle here: that is what is tested."""


class _Handler(BaseHTTPRequestHandler):
    wire: Wire
    protocol_version = "HTTP/1.1"

    def setup(self) -> None:
        super().setup()
        self.wire.connections += 1

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def do_CONNECT(self) -> None:
        self._note()
        host, _, port = self.path.partition(":")
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        with socket.create_connection((host, int(port)), timeout=5) as beyond:
            self._relay(beyond)

    def log_message(self, *args: object) -> None:
        """Say nothing."""

    def _note(self) -> None:
        self.wire.requests.append((self.command, self.path, dict(self.headers)))

    def _answer(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self._note()
        step = self.wire.steps.pop(0) if self.wire.steps else 200
        self.close_connection = isinstance(step, str)
        if step == "hang":
            self.wire.stopping.wait(30)
        if step in ("hang", "close"):
            return
        self.send_response(step if isinstance(step, int) else 200)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def finish(self) -> None:
        super().finish()
        self.connection.close()
        self.wire.has_closed.set()

    def _relay(self, beyond: socket.socket) -> None:
        ends = {self.connection: beyond, beyond: self.connection}
        while not self.wire.stopping.is_set():
            for end in select.select(list(ends), [], [], 0.02)[0]:
                data = end.recv(65536)
                if not data:
                    return
                ends[end].sendall(data)
