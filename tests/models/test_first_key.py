"""Processes that start together over an empty database, and sign with one key (FAULTS.md 17)."""

from __future__ import annotations

import os
import subprocess
import sys
from contextlib import ExitStack

import pytest

from tests.models.conftest import ROOT, run_project

PROCESSES = 8
# Says that it is there, waits until all are, and names the key that it would sign with. Then again, as it would be a
# moment later.
PROGRAM = """
import sys, django
django.setup()
from django.core.management import call_command
from mcp_oidc.core.keys import key_ring
print("ready", flush=True)
sys.stdin.readline()
if sys.argv[1] == "rotate":
    call_command("mcp_oidc_rotate_keys", "--now", "--alg", "ES256")
else:
    print(key_ring().signing.kid, flush=True)
sys.stdin.readline()
print(key_ring(max_age=0).signing.kid, flush=True)
"""


class Process:
    """A process of a project whose database is at `url`."""

    def __init__(self, stack: ExitStack, url: str, role: str) -> None:
        environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.projects.plain", "DATABASE_URL": url}
        self._process = stack.enter_context(
            subprocess.Popen(
                [sys.executable, "-W", "error", "-c", PROGRAM, role],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        )
        stack.callback(self._process.kill)

    def go_on(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()

    def line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()


def run_together(url: str, *roles: str) -> tuple[list[str], list[str]]:
    """What processes of these `roles` say at once, and a moment later."""
    assert run_project("plain", "-m", "django", "migrate", "-v", "0", DATABASE_URL=url).returncode == 0
    with ExitStack() as stack:
        processes = [Process(stack, url, role) for role in roles]
        assert [process.line() for process in processes] == ["ready"] * len(roles)
        said = []
        for _ in range(2):
            for process in processes:
                process.go_on()
            said.append([process.line() for process in processes])
    return said[0], said[1]


@pytest.mark.long
@pytest.mark.requirement("one-first-key")
def test_eight_processes_make_one_key(any_database: str) -> None:
    at_once, later = run_together(any_database, *["sign"] * PROCESSES)
    assert len(set(at_once) | set(later)) == 1
    assert all(at_once)


@pytest.mark.long
@pytest.mark.requirement("one-first-key")
def test_processes_that_rotate_while_others_start_agree_on_the_key_in_the_end(any_database: str) -> None:
    at_once, later = run_together(any_database, *["sign", "rotate"] * (PROCESSES // 2))
    assert all(at_once)
    assert len(set(later)) == 1
    assert later[0]
