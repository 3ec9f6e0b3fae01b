"""Dumps of a site's database, by the tools that operators use, and the search for what must not be in them."""

from __future__ import annotations

import base64
import binascii
import hashlib
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.faults.exchanges import Log
from tests.faults.leaks import leaked
from tests.faults.site import Site


def check_dump(site: Site, log: Log) -> None:
    """Fail if the database holds any secret of the log, in any form that gives it away."""
    dump = dump_of(site)
    clients = {exchange.sent["client_id"] for exchange in log.exchanges if "client_id" in exchange.sent}
    assert all(client_id.encode() in dump for client_id in clients), "the dump is not one of this database"
    assert not leaked(dump, (form for secret in log.secrets for form in forms_of(secret)))


def dump_of(site: Site) -> bytes:
    """Everything that the database holds. Skips the test where the tool for it is not installed."""
    return {"sqlite": _dump_sqlite, "postgresql": _dump_postgresql, "mariadb": _dump_mariadb}[site.kind](site)


def forms_of(secret: str) -> Iterator[bytes]:
    """A secret as text, as the bytes that it encodes, both again in hex and base64; a token of ours hashed, too."""
    texts = [secret.encode(), *_decoded(secret)]
    if secret.startswith(("mcpc_", "mcpr_")):
        # They are computed from the row, and so not even a hash of them is kept.
        texts.append(hashlib.sha256(secret.encode()).digest())
    for text in texts:
        yield text
        yield text.hex().encode()
        yield text.hex().upper().encode()
        yield base64.b64encode(text).rstrip(b"=")
        yield base64.urlsafe_b64encode(text).rstrip(b"=")


def _decoded(secret: str) -> Iterator[bytes]:
    # The signature of a JWT, and the body of an opaque token behind its prefix.
    text = secret.rpartition(".")[2].removeprefix("mcpc_").removeprefix("mcpr_")
    try:
        yield base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        return


def _dump_sqlite(site: Site) -> bytes:
    path = Path(urlsplit(site.database_url).path[1:])
    with closing(sqlite3.connect(path)) as connection:
        text = "\n".join(connection.iterdump()).encode()
    # And the files, where what was overwritten or deleted may still lie.
    return text + b"".join(file.read_bytes() for file in sorted(path.parent.glob(f"{path.name}*")))


def _dump_postgresql(site: Site) -> bytes:
    return _output_of("pg_dump", site.database_url)


def _dump_mariadb(site: Site) -> bytes:
    parts = urlsplit(site.database_url)
    address = [f"--host={parts.hostname}", f"--port={parts.port or 3306}", f"--user={parts.username}"]
    password = [f"--password={parts.password}"] if parts.password else []
    tool = "mariadb-dump" if shutil.which("mariadb-dump") else "mysqldump"
    return _output_of(tool, *address, *password, parts.path.removeprefix("/"))


def _output_of(tool: str, *arguments: str) -> bytes:
    if shutil.which(tool) is None:
        pytest.skip(f"{tool} is not installed")
    return subprocess.run([tool, *arguments], check=True, capture_output=True).stdout
