"""What is published: a wheel that holds all it needs, the same from the same source."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
# Whatever else stands in the package is Python.
DATA = {".html", ".css", ".po", ".mo", ".typed", ".svg", ".js"}


def build(into: Path) -> Path:
    """The wheel of this checkout's committed files."""
    source = into / "source"
    source.mkdir(parents=True)
    archive = subprocess.run(["git", "archive", "HEAD"], cwd=ROOT, check=True, capture_output=True).stdout
    subprocess.run(["tar", "-x"], cwd=source, input=archive, check=True)
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1764547200"}
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(into / "dist"), "."]
    subprocess.run(command, cwd=source, check=True, env=environment)
    return next((into / "dist").glob("*.whl"))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.mark.long
def test_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    listed = subprocess.run(["git", "ls-files", "mcp_oidc"], cwd=ROOT, check=True, capture_output=True, text=True)
    expected = {name for name in listed.stdout.split() if Path(name).suffix in {".py", *DATA} or "py.typed" in name}
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
        metadata = next(archive.read(name).decode() for name in archive.namelist() if name.endswith("METADATA"))
    assert held == expected
    assert "License-Expression: MIT" in metadata
    assert "Typing :: Typed" in metadata


@pytest.mark.long
def test_same_source_gives_the_same_wheel(wheel: Path, tmp_path: Path) -> None:
    again = build(tmp_path)
    assert hashlib.sha256(again.read_bytes()).digest() == hashlib.sha256(wheel.read_bytes()).digest()


@pytest.mark.long
def test_installed_wheel_is_a_project_that_checks_and_migrates(wheel: Path, tmp_path: Path) -> None:
    """Beside the packages of this environment, and in the place of this checkout."""
    target = tmp_path / "site"
    install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(target), str(wheel)]
    subprocess.run(install, check=True)
    project = tmp_path / "project"
    project.mkdir()
    (project / "settings.py").write_text(SETTINGS)
    (project / "urls.py").write_text(
        'from django.urls import include, path\nurlpatterns = [path("", include("mcp_oidc.urls"))]\n'
    )
    code = "import mcp_oidc, sys; sys.exit(not mcp_oidc.__file__.startswith(sys.argv[1]))"
    environment = {**os.environ, "PYTHONPATH": f"{target}:{project}", "DJANGO_SETTINGS_MODULE": "settings"}
    for command in (["-c", code, str(target)], ["-m", "django", "check"], ["-m", "django", "migrate", "-v0"]):
        subprocess.run([sys.executable, *command], cwd=project, env=environment, check=True)


SETTINGS = """
SECRET_KEY = "tests-only-" + "k" * 50
DEBUG = True
USE_TZ = True
ROOT_URLCONF = "urls"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django.contrib.sessions"]
MIDDLEWARE = [
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
]
TEMPLATES = [{"BACKEND": "django.template.backends.django.DjangoTemplates", "APP_DIRS": True}]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "project.sqlite3", "OPTIONS": {
    "transaction_mode": "IMMEDIATE", "timeout": 20, "init_command": "PRAGMA journal_mode=WAL;"}}}
INSTALLED_APPS += ["mcp_oidc", "oauth2_provider"]
MIDDLEWARE.insert(0, "mcp_oidc.server.cors.CorsMiddleware")
AUTHENTICATION_BACKENDS = ["django.contrib.auth.backends.ModelBackend", "mcp_oidc.upstream.backend.UpstreamBackend"]
OAUTH2_PROVIDER_APPLICATION_MODEL = "mcp_oidc.Client"
MCP_OIDC = {"UPSTREAM": {"ISSUER": "https://login.example.com", "CLIENT_ID": "id", "CLIENT_SECRET": "secret"}}
"""
