"""Exchanges over plain HTTP: sent and read separately, so that answers can be raced for, and lost; all are logged."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlencode

from tests.faults.servers import Server

# Longer than any server may take, SQLite's busy timeout included.
TIMEOUT = 60
FORM = "application/x-www-form-urlencoded"
# What nobody but its client may ever read, in requests and in answers.
SECRET_MEMBERS = frozenset(
    {
        "access_token",
        "client_secret",
        "code",
        "code_verifier",
        "id_token",
        "refresh_token",
        "registration_access_token",
        "token",
    }
)


@dataclass(frozen=True)
class Answer:
    """What a server answered. Names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)

    @property
    def document(self) -> Any:
        """The JSON of the body."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The OAuth error, or nothing for a success."""
        return "" if self.status < 400 else str(self.document["error"])


@dataclass(frozen=True)
class Exchange:
    """A request and its answer: None where the connection broke.

    `is_sent` tells whether the request got out, and `is_lost` that the client did not get the answer.
    """

    server: str
    path: str
    sent: Mapping[str, str] = field(repr=False)
    answer: Answer | None
    is_sent: bool
    is_lost: bool
    started: float
    ended: float


class Log:
    """Everything that clients sent and were answered, and every secret in it."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.secrets: set[str] = set()
        # Connections that have ended, and since when. Nothing of theirs may be taken from then on.
        self.revoked: dict[str, float] = {}
        # What clients who followed the protocol have to log in again for.
        self.stranded: list[str] = []
        # When the fault of a test that has one was over.
        self.fault_ended: float | None = None
        self._lock = threading.Lock()

    def add(self, exchange: Exchange) -> None:
        """Keep an exchange."""
        with self._lock:
            self.exchanges.append(exchange)
            self.secrets.update(_secrets_in(exchange.sent))
            if exchange.answer is not None:
                self.secrets.update(_secrets_in(_members_of(exchange.answer)))

    @property
    def issued(self) -> list[Exchange]:
        """Those that the token endpoint answered with tokens, whether or not the client got them."""
        return [each for each in self.exchanges if each.path == "/token" and each.answer and each.answer.status == 200]


class Pending:
    """A request that was sent, and an answer that is still to come. One of the three methods ends it."""

    def __init__(self, log: Log, server: Server, path: str, sent: Mapping[str, str]) -> None:
        self._log = log
        self._server = server
        self._path = path
        self._sent = sent
        self._started = time.monotonic()
        self._connection = HTTPConnection("127.0.0.1", server.port, timeout=TIMEOUT)
        self._is_sent = False

    def send(self, method: str, body: str, headers: Mapping[str, str]) -> None:
        """Send the request. A server that is not there is told of when the answer is read."""
        try:
            self._connection.request(method, self._path, body.encode(), {**headers, "Connection": "close"})
            self._is_sent = True
        except OSError:
            self._connection.close()

    def read(self) -> Answer | None:
        """The answer, or None where it was lost: the server is gone, or went while it answered."""
        return self._end(self._receive(), is_lost=False)

    def lose(self) -> None:
        """Let the answer get lost on its way: it is logged, and the client never learns of it."""
        self._end(self._receive(), is_lost=True)

    def hang_up(self) -> None:
        """Close the connection, whatever the server is doing."""
        self._end(None, is_lost=True)

    def _receive(self) -> Answer | None:
        if not self._is_sent:
            return None
        try:
            response = self._connection.getresponse()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())
        except (OSError, HTTPException):
            return None

    def _end(self, answer: Answer | None, *, is_lost: bool) -> Answer | None:
        self._connection.close()
        exchange = Exchange(
            server=self._server.name,
            path=self._path,
            sent=self._sent,
            answer=answer,
            is_sent=self._is_sent,
            is_lost=is_lost or answer is None,
            started=self._started,
            ended=time.monotonic(),
        )
        self._log.add(exchange)
        return answer


def get(log: Log, server: Server, path: str, headers: Mapping[str, str] | None = None) -> Pending:
    """Ask for a document or a page."""
    pending = Pending(log, server, path, {})
    pending.send("GET", "", headers or {})
    return pending


def post_form(
    log: Log, server: Server, path: str, params: Mapping[str, str], headers: Mapping[str, str] | None = None
) -> Pending:
    """Send a form, as to the token endpoint."""
    pending = Pending(log, server, path, params)
    pending.send("POST", urlencode(params), {"Content-Type": FORM, **(headers or {})})
    return pending


def post_json(log: Log, server: Server, path: str, document: Mapping[str, Any], *, token: str | None = None) -> Pending:
    """Send JSON, as to registration, or to the MCP endpoint with an access token."""
    pending = Pending(log, server, path, {"token": token} if token else {})
    authorization = {"Authorization": f"Bearer {token}"} if token else {}
    pending.send("POST", json.dumps(document), {"Content-Type": "application/json", **authorization})
    return pending


def _members_of(answer: Answer) -> dict[str, Any]:
    try:
        document = answer.document
    except ValueError:
        return {}
    return document if isinstance(document, dict) else {}


def _secrets_in(members: Mapping[str, Any]) -> set[str]:
    return {value for name, value in members.items() if name in SECRET_MEMBERS and isinstance(value, str)}
