"""What browser tests begin with: Chromium, a site with a strict policy, and a person who has logged in."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from sample_project.demo.identity_provider import embedded_identity_provider
from tests.browser.arabic import arabic_texts
from tests.browser.callbacks import Callbacks, listening
from tests.browser.people import ARGUMENTS, log_in
from tests.journeys.servers import Sample, free_port

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, Page

AXE = "axe-core@4.14.1"
Visit = Callable[..., "Page"]


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Chromium, as the system has it. Not for the session: while Playwright runs, Django takes its thread for async."""
    executable = shutil.which("chromium")
    if executable is None:
        pytest.skip("Chromium is not on this machine")
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    with (
        playwright.sync_playwright() as running,
        running.chromium.launch(executable_path=executable, args=ARGUMENTS) as browser,
    ):
        yield browser


@pytest.fixture(scope="session")
def identity_provider() -> Iterator[str]:
    """A real OpenID provider; the value is its issuer."""
    with embedded_identity_provider(free_port()) as issuer:
        yield issuer


@pytest.fixture(scope="session")
def site(identity_provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The site, migrated and up."""
    database = tmp_path_factory.mktemp("site") / "site.sqlite3"
    sample = site_with(f"sqlite:///{database}", identity_provider, arabic_texts(tmp_path_factory.mktemp("locale")))
    sample.manage("migrate", "--verbosity", "0")
    sample.start()
    yield sample
    sample.stop()


@pytest.fixture(scope="session")
def site_without_database(identity_provider: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sample]:
    """The site, up, with a database that is not there."""
    nowhere = tmp_path_factory.mktemp("nowhere") / "missing" / "site.sqlite3"
    sample = site_with(f"sqlite:///{nowhere}", identity_provider)
    sample.start()
    yield sample
    sample.stop()


def site_with(database: str, identity_provider: str, locale_dir: Path | str = "") -> Sample:
    port = free_port()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.browser.site_settings",
        "BASE_URL": f"http://localhost:{port}",
        "DATABASE_URL": database,
        "SESSION_SECRET": "browser-only-" * 5,
        "OIDC_ISSUER": identity_provider,
        "OIDC_CLIENT_ID": "sample",
        "OIDC_CLIENT_SECRET": "sample-secret",
        "LOCALE_DIR": str(locale_dir),
    }
    return Sample(port=port, environment=environment)


@pytest.fixture(scope="session")
def callbacks() -> Iterator[Callbacks]:
    """A client's end of the redirect, on another origin than the site."""
    with listening() as server:
        yield server


@pytest.fixture(scope="module")
def alice(chromium: Browser, site: Sample) -> Any:
    """The cookies of alice, who has logged in at the identity provider."""
    with chromium.new_context() as context:
        log_in(context.new_page(), f"{site.url}/oauth/login", "alice")
        return context.storage_state()


@pytest.fixture
def visit(chromium: Browser, alice: Any) -> Iterator[Visit]:
    """`visit(url, **options)` opens a page in a new browser of alice, or of a stranger, and keeps what it complains of.

    Options are Playwright's for a context. At the end, no page may have broken its policy.
    """
    contexts: list[BrowserContext] = []
    complaints: list[str] = []

    def opened(url: str, *, is_alice: bool = True, **options: Any) -> Page:
        context = chromium.new_context(storage_state=alice if is_alice else None, **options)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: complaints.append(message.text))
        page.goto(url)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert not [complaint for complaint in complaints if "Content Security Policy" in complaint]


@pytest.fixture(scope="session")
def screens(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of pages are kept."""
    return tmp_path_factory.mktemp("screens")


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core, which finds what keeps people from using a page."""
    if shutil.which("npm") is None:
        pytest.skip("Node's npm is not on this machine")
    home = tmp_path_factory.mktemp("axe")
    subprocess.run(["npm", "install", "--silent", "--prefix", str(home), AXE], check=True, cwd=home)
    return (home / "node_modules/axe-core/axe.min.js").read_text()
