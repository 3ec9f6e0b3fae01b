"""The npm packages that clients come in, installed once for all journeys of this folder."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from tests.journeys.node.desktop_browser import DesktopBrowser

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def node_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with our drivers beside the `node_modules` that they import from."""
    if shutil.which("npm") is None or shutil.which("node") is None:
        pytest.skip("Node and its npm are not on this machine")
    home = tmp_path_factory.mktemp("node")
    for source in (*HERE.glob("*.mjs"), HERE / "package.json"):
        shutil.copy(source, home)
    # Without a lock file: it would name the registry that this machine happens to use.
    options = ["--no-package-lock", "--no-audit", "--no-fund", "--silent"]
    subprocess.run(["npm", "install", *options], check=True, cwd=home)
    return home


@pytest.fixture
def desktop_browser(tmp_path: Path) -> DesktopBrowser:
    return DesktopBrowser(tmp_path)
