"""The browser of a desktop, for programs that open one themselves: `BROWSER` names a script that runs this.

    python -m tests.journeys.node.desktop_browser URL

It plays alice, delivers the answer to the program's own loopback listener, and notes each URL in DESKTOP_BROWSER_LOG.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import requests
from requests.adapters import HTTPAdapter
from urllib3.util import Retry

from sample_project.demo.browser import DemoBrowser
from sample_project.demo.processes import ROOT


class DesktopBrowser:
    """What a program finds in `environment`, and the URLs that it opened."""

    def __init__(self, home: Path) -> None:
        self._log = home / "opened-urls"
        script = home / "browser"
        script.write_text(f'#!/bin/sh\ncd "{ROOT}" && exec "{sys.executable}" -m {__name__} "$1"\n')
        script.chmod(0o700)
        self.environment = {"BROWSER": str(script), "DESKTOP_BROWSER_LOG": str(self._log)}

    @property
    def opened(self) -> list[str]:
        return self._log.read_text().splitlines() if self._log.exists() else []


def main(url: str) -> None:
    with Path(os.environ["DESKTOP_BROWSER_LOG"]).open("a") as log:
        log.write(f"{url}\n")
    redirect_uri = parse_qs(urlsplit(url).query)["redirect_uri"][0]
    answer = DemoBrowser("alice").authorize(url, redirect_uri)
    with requests.Session() as session:
        # A person is slower: mcp-remote opens the browser first, and listens a moment later.
        session.mount("http://", HTTPAdapter(max_retries=Retry(connect=10, backoff_factor=0.05)))
        session.get(redirect_uri, params=answer, timeout=30)


if __name__ == "__main__":
    main(sys.argv[1])
