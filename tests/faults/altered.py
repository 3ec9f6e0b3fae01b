"""A site with servers that run with altered settings."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from tests.faults.servers import Server, forking
from tests.faults.site import Site

ALTERED = {"DJANGO_SETTINGS_MODULE": "tests.faults.altered_settings"}


@contextmanager
def altered(site: Site, directory: Path, **environment: str) -> Iterator[Site]:
    """`site` with two other servers until the block ends. `environment` is what `altered_settings` read of theirs."""
    for server in site.servers:
        # They would go on with what they know of keys.
        if server.is_alive:
            server.kill()
    with forking({**site.environment, **ALTERED, **environment}) as forker:
        altered = replace(site, servers=(Server("C", forker, directory), Server("D", forker, directory)))
        altered.start()
        yield altered
