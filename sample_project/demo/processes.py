"""Servers in processes of their own, as they would run for real: on loopback, until a block ends."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 30


def is_up(port: int) -> bool:
    """Whether something listens on this port of this machine, by IPv4 or IPv6."""
    for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")):
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.settimeout(1)
            if probe.connect_ex((host, port)) == 0:
                return True
    return False


@contextmanager
def running(
    command: Sequence[str], *, port: int, environment: Mapping[str, str], quiet: bool = False, cwd: Path = ROOT
) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the block ends. Raises `RuntimeError` if it does not listen on `port` in time."""
    output = subprocess.DEVNULL if quiet else None
    process = subprocess.Popen(  # noqa: S603  # commands of our own
        command, env={**os.environ, **environment}, cwd=cwd, stdout=output, stderr=output
    )
    try:
        _wait_until_up(process, port)
        yield process
    finally:
        process.terminate()
        process.wait(timeout=20)


def _wait_until_up(process: subprocess.Popen[bytes], port: int) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not is_up(port):
        if process.poll() is not None:
            raise RuntimeError(f"The server on port {port} ended as it started; its output says why.")
        if time.monotonic() > deadline:
            raise RuntimeError(f"The server on port {port} did not start within {START_SECONDS} seconds.")
        time.sleep(0.05)
