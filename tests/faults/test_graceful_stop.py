"""A server is stopped as operators stop it, under load, and no client notices: FAULTS.md 3."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from sample_project.demo.processes import ROOT, is_up
from tests.factories import REDIRECT_URI
from tests.faults.altered import ALTERED
from tests.faults.chance import chance
from tests.faults.clients import McpClient, register
from tests.faults.database import LOCK_CONNECTIONS, database, rows
from tests.faults.exchanges import FORM, TIMEOUT, Log
from tests.faults.invariants import check
from tests.faults.middlewares import BEGUN
from tests.faults.servers import Server
from tests.faults.site import Site
from tests.faults.waiting import wait_until

STOPS = 3
CLIENTS = 6
REFRESHES = 2
# Seconds in which a process has to end, and that it serves before, at most.
END_SECONDS = 10
PAUSE = 1


class Service(Server):
    """A server that is started by the command in a service manager's file, and whose exit status is known."""

    def __init__(self, name: str, environment: Mapping[str, str], directory: Path) -> None:
        # It does itself what others have forked for them.
        super().__init__(name, self, directory)
        self.environment = environment
        self._process: subprocess.Popen[bytes] | None = None

    def fork(self, arguments: list[str], log: Path) -> int:
        command = [sys.executable, "-m", "uvicorn", "sample_project.asgi:application", *arguments]
        with log.open("ab") as output:
            self._process = subprocess.Popen(command, env=self.environment, cwd=ROOT, stdout=output, stderr=output)
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """What it ended with; the number of a signal is negative. None while it runs."""
        assert self._process is not None
        return self._process.poll()

    @property
    def is_alive(self) -> bool:
        return self._process is not None and self.exit_status is None


@pytest.fixture
def service(running: Site, tmp_path: Path) -> Iterator[Service]:
    """A further server of the site."""
    service = Service("C", {**running.environment, **ALTERED}, tmp_path)
    service.start()
    yield service
    if service.is_alive:
        service.kill()


@pytest.mark.long
@pytest.mark.requirement("graceful-stop")
def test_clients_notice_nothing_of_a_server_that_is_stopped(site: Site, service: Service, log: Log) -> None:
    site = replace(site, servers=(service, site.servers[1]))
    registration = register(site, log)
    clients = [McpClient(site, log, registration, user=f"user{n}") for n in range(CLIENTS)]
    over = threading.Event()
    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(live, client, over) for client in clients]
        try:
            for _ in range(STOPS):
                stop_and_start(service)
        finally:
            over.set()
    assert all(work.result() > 0 for work in working)
    assert {each.answer.status for each in log.exchanges if each.answer is not None} == {200, 201}
    assert_every_request_was_finished(service, log)
    check(site, log, service.log())


def live(client: McpClient, over: threading.Event) -> int:
    """Log in, refresh and call until it is over. Returns how often it logged in."""
    logins = 0
    while not over.is_set():
        client.be_approved()
        # False would mean that a server redeemed the code and did not finish its answer.
        assert client.log_in(chance.choice(client.site.servers))
        for _ in range(REFRESHES):
            client.renew(chance.choice(client.site.servers))
            assert client.call(chance.choice(client.site.servers)) == 200
        logins += 1
    return logins


def stop_and_start(service: Service) -> None:
    time.sleep(chance.uniform(0, PAUSE))
    service.terminate()
    service.wait_until_gone(END_SECONDS)
    assert_ended_well(service)
    service.start()


def assert_every_request_was_finished(service: Service, log: Log) -> None:
    """Clients got the answer to everything that the server had begun."""
    answered = [each for each in log.exchanges if each.server == service.name and each.answer is not None]
    assert service.log().count(BEGUN) == len(answered)


def assert_ended_well(service: Service) -> None:
    # By itself, or by the signal that it was sent: uvicorn passes that on to itself when everything is done.
    assert service.exit_status in (0, -signal.SIGTERM)
    assert_no_trouble(service)


def assert_no_trouble(server: Server, begun: int = 0) -> None:
    assert "Finished server process" in server.log(begun)
    assert "Traceback" not in server.log(begun)
    assert "ERROR" not in server.log(begun)


@pytest.mark.long
@pytest.mark.requirement("graceful-stop")
def test_request_that_had_begun_is_finished(site: Site, client: McpClient) -> None:
    here, there = site.servers
    begun = here.log_size
    sent = {"grant_type": "authorization_code", "client_id": client.registration["client_id"], "code": client.code}
    body = urlencode({**sent, "redirect_uri": REDIRECT_URI, "code_verifier": client.verifier}).encode()
    with closing(HTTPConnection("127.0.0.1", here.port, timeout=TIMEOUT)) as connection:
        begin(connection, "/token", length=len(body))
        here.terminate()
        wait_until(lambda: not is_up(here.port))
        connection.send(body)
        response = connection.getresponse()
        assert response.status == 200
        client.tokens = json.loads(response.read())
    here.wait_until_gone(END_SECONDS)
    assert_no_trouble(here, begun)
    client.log.secrets.update((client.tokens["access_token"], client.tokens["refresh_token"]))
    assert client.call(there) == 200


@pytest.mark.long
@pytest.mark.requirement("graceful-stop")
def test_what_was_seen_is_written_before_the_end(site: Site, client: McpClient) -> None:
    here, there = site.servers
    begun, before = here.log_size, sightings(site)
    assert client.log_in(there)
    with database(site) as cursor:
        see_in_vain(client, here, cursor)
    here.wait_until_gone(END_SECONDS)
    assert_no_trouble(here, begun)
    assert sightings(site) == before + 1


@pytest.mark.long
@pytest.mark.requirement("graceful-stop")
def test_what_cannot_be_written_does_not_hold_up_the_end(site: Site, client: McpClient) -> None:
    here, there = site.servers
    begun, before = here.log_size, sightings(site)
    assert client.log_in(there)
    with database(site) as cursor:
        see_in_vain(client, here, cursor)
        here.wait_until_gone(END_SECONDS)
    assert_no_trouble(here, begun)
    assert sightings(site) == before


def begin(connection: HTTPConnection, path: str, *, length: int) -> None:
    """Send a request without its body, and return once the server has it in hand: it asks for the rest."""
    connection.putrequest("POST", path)
    for name, value in (("Content-Type", FORM), ("Content-Length", length), ("Expect", "100-continue")):
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.sock.recv(12, socket.MSG_PEEK) == b"HTTP/1.1 100"


def see_in_vain(client: McpClient, server: Server, cursor: Any) -> None:
    """Let `server` see a token that it cannot note until `cursor` ends its transaction, and be done but for that."""
    cursor.execute("BEGIN")
    cursor.execute(LOCK_CONNECTIONS)
    begun = server.log_size
    assert client.call(server) == 200
    # As from a terminal. On SIGTERM uvicorn kills itself when it is done, and nothing of Python's has a turn.
    server._signal(signal.SIGINT)
    wait_until(lambda: "Finished server process" in server.log(begun))


def sightings(site: Site) -> int:
    [(total,)] = rows(site, "SELECT sum(seen_generation) FROM mcp_oidc_connection")
    return int(total or 0)
