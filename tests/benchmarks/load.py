"""Load from outside: wrk where it is installed, else this module as a process of its own."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

CONNECTIONS = 32
LUA = """
local tokens, i = {}, 0
for line in io.lines("%s") do tokens[#tokens + 1] = line end
request = function()
  i = i %% #tokens + 1
  return wrk.format("GET", "/mcp", {["Authorization"] = "Bearer " .. tokens[i]})
end
"""
_UNITS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True)
class Figures:
    """What was measured. Times are milliseconds; `failures` counts answers that were not a 200."""

    requests: int
    per_second: float
    p50: float
    p99: float
    failures: int


def drive(port: int, tokens: Path, seconds: float) -> Figures:
    """Ask `/mcp` with the tokens of a file by turns, over 32 connections."""
    return (_drive_by_wrk if shutil.which("wrk") else _drive_by_python)(port, tokens, seconds)


def _drive_by_wrk(port: int, tokens: Path, seconds: float) -> Figures:
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(LUA % tokens)
        script.flush()
        duration = f"-d{max(1, round(seconds))}s"
        command = ["wrk", "-t1", f"-c{CONNECTIONS}", duration, "--latency", "-s", script.name]
        url = f"http://127.0.0.1:{port}/mcp"
        said = subprocess.run([*command, url], capture_output=True, text=True, check=True).stdout
    failures = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    per_second = re.search(r"Requests/sec: +([\d.]+)", said)
    assert per_second is not None, said
    requests = re.search(r"(\d+) requests in", said)
    assert requests is not None, said
    return Figures(
        requests=int(requests[1]),
        per_second=float(per_second[1]),
        p50=_time(said, 50),
        p99=_time(said, 99),
        failures=int(failures[1]) if failures else 0,
    )


def _time(said: str, percent: int) -> float:
    found = re.search(rf"{percent}% +([\d.]+)(us|ms|s)", said)
    assert found is not None, said
    return float(found[1]) * _UNITS[found[2]]


def _drive_by_python(port: int, tokens: Path, seconds: float) -> Figures:
    command = [sys.executable, "-m", "tests.benchmarks.load", str(port), str(tokens), str(seconds)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return Figures(**json.loads(said))


async def _ask(port: int, tokens: list[str], until: float) -> tuple[list[float], int]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    times, failures = [], 0
    for token in cycle(tokens):
        began = time.perf_counter()
        if began >= until:
            break
        writer.write(f"GET /mcp HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head, re.IGNORECASE)
        await reader.readexactly(int(length[1]) if length else 0)
        times.append((time.perf_counter() - began) * 1000)
        failures += not head.startswith(b"HTTP/1.1 200")
    writer.close()
    return times, failures


async def _ask_all(port: int, tokens: list[str], seconds: float) -> Figures:
    until = time.perf_counter() + seconds
    shares = [tokens[number:] + tokens[:number] for number in range(min(CONNECTIONS, len(tokens)))]
    tasks = [_ask(port, shares[number % len(shares)], until) for number in range(CONNECTIONS)]
    results = await asyncio.gather(*tasks)
    times = sorted(each for one, _ in results for each in one)
    failures = sum(failed for _, failed in results)
    return Figures(len(times), len(times) / seconds, times[len(times) // 2], times[len(times) * 99 // 100], failures)


if __name__ == "__main__":
    lines = Path(sys.argv[2]).read_text().split()
    print(json.dumps(asyncio.run(_ask_all(int(sys.argv[1]), lines, float(sys.argv[3]))).__dict__))
