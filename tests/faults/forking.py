"""Servers that start in milliseconds: this process has imported everything already, and forks one for each start.

Each line on stdin is a JSON object with the `arguments` of `python -m uvicorn` and the `log` that the server writes to;
the answer is its process id. What serves is uvicorn's own command, so it is what runs in production.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from typing import NoReturn

import uvicorn

# Imported and nothing more: no connection and no thread that a fork would share.
import sample_project.asgi  # noqa: F401


def main() -> None:
    # The kernel buries those that end, so whoever waits for one need only look for its id.
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    children = []
    for line in sys.stdin:
        asked = json.loads(line)
        child = os.fork()
        if child == 0:
            _serve(asked["arguments"], asked["log"])
        children.append(child)
        print(child, flush=True)  # noqa: T201  # the answer
    for child in children:
        _kill(child)


def _serve(arguments: list[str], log: str) -> NoReturn:
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    written = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(written, 1)
    os.dup2(written, 2)
    uvicorn.main(["sample_project.asgi:application", *arguments])
    raise AssertionError("uvicorn's command ends its process")


def _kill(child: int) -> None:
    try:
        os.kill(child, signal.SIGKILL)
    except ProcessLookupError:
        return


if __name__ == "__main__":
    main()
