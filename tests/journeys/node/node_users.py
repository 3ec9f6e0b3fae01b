"""A user with one of the TypeScript SDKs: the SDK as it comes from npm, and one file for what it keeps between runs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from sample_project.demo.browser import DemoBrowser

REDIRECT_URI = "http://localhost:4711/callback"


class NodeUser:
    """alice with a client. Each call is a process of its own, as after a restart of the client."""

    def __init__(self, driver: Path, mcp_url: str, store: Path, **metadata: Any) -> None:
        self._driver = driver
        self._mcp_url = mcp_url
        self._store = store
        self._metadata = metadata
        self.redirect_uri = REDIRECT_URI
        self.opened: list[str] = []

    def call(self, tool: str, **arguments: str) -> Any:
        """What a tool returns."""
        journey = {
            "url": self._mcp_url,
            "store": str(self._store),
            "redirectUrl": self.redirect_uri,
            "metadata": self._metadata,
            "tool": tool,
            "args": arguments,
        }
        command = ["node", str(self._driver), json.dumps(journey)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            results = [json.loads(line) for line in self._lines(process)]
        assert process.returncode == 0
        assert [result.get("isError", False) for result in results] == [False], results
        return results[0]["structuredContent"]

    @property
    def kept(self) -> dict[str, Any]:
        """What the client remembers: `client` and `tokens` among it."""
        kept: dict[str, Any] = json.loads(self._store.read_text())
        return kept

    def spoil(self, name: str, **members: str) -> None:
        """Put `members` in the place of what the client remembers of its `client` or its `tokens`."""
        kept = self.kept
        kept[name].update(members)
        self._store.write_text(json.dumps(kept))

    def _lines(self, process: subprocess.Popen[str]) -> list[str]:
        """The results that the driver prints. The browser is opened on the way."""
        assert process.stdin is not None
        results = []
        for line in process.stdout or ():
            word, _, rest = line.strip().partition(" ")
            if word == "OPEN":
                process.stdin.write(f"{urlencode(self._open_browser(rest))}\n")
                process.stdin.flush()
            if word == "RESULT":
                results.append(rest)
        return results

    def _open_browser(self, url: str) -> dict[str, str]:
        self.opened.append(url)
        return DemoBrowser("alice").authorize(url, self.redirect_uri)


def params_of(url: str) -> dict[str, str]:
    """The parameters of an authorization URL."""
    return {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
