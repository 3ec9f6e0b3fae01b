"""The promise of the README: from `django-admin startproject` to a working server in at most 15 lines."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from mcp_oidc.protocol import pkce
from sample_project.demo.browser import DemoBrowser
from sample_project.demo.processes import running
from tests.journeys.servers import free_port

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()
REDIRECT_URI = "http://127.0.0.1:45454/callback"


def readme_lines(filename: str) -> str:
    """The README's code for a file of the project."""
    blocks = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    return next(block for block in blocks if block.startswith(f"# {filename}"))


def test_the_readme_needs_at_most_fifteen_lines() -> None:
    code = "".join(readme_lines(name) for name in ("settings.py", "urls.py", "views.py"))
    assert len([line for line in code.splitlines() if line.strip() and not line.startswith("#")]) <= 15


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A new project with exactly the README's lines."""
    run = [sys.executable, "-m", "django", "startproject", "site_", str(tmp_path)]
    subprocess.run(run, check=True, env={**os.environ, "DJANGO_SETTINGS_MODULE": ""})
    for name in ("settings.py", "urls.py", "views.py"):
        with (tmp_path / "site_" / name).open("a") as file:
            file.write(readme_lines(name))
    return tmp_path


@pytest.fixture
def site(project: Path, identity_provider: str) -> Iterator[str]:
    """The project under `runserver`, migrated."""
    port = free_port()
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "site_.settings",
        "OIDC_ISSUER": identity_provider,
        "OIDC_CLIENT_ID": "site",
        "OIDC_CLIENT_SECRET": "site-secret",
    }
    manage = [sys.executable, str(project / "manage.py")]
    # It runs the system checks first, and goes no further than an error.
    subprocess.run([*manage, "migrate", "--verbosity", "0"], check=True, env=environment, cwd=project)
    with running([*manage, "runserver", "--noreload", str(port)], port=port, environment=environment, cwd=project):
        yield f"http://localhost:{port}"


def test_a_new_project_with_the_readmes_lines_completes_a_login(site: str) -> None:
    metadata = requests.get(f"{site}/.well-known/oauth-authorization-server").json()
    client = requests.post(metadata["registration_endpoint"], json={"redirect_uris": [REDIRECT_URI]}).json()
    verifier = pkce.new_verifier()
    query = {
        "response_type": "code",
        "client_id": client["client_id"],
        "redirect_uri": REDIRECT_URI,
        "code_challenge": pkce.challenge_for(verifier),
        "code_challenge_method": "S256",
    }
    url = requests.Request("GET", metadata["authorization_endpoint"], params=query).prepare().url
    answer = DemoBrowser("alice").authorize(str(url), REDIRECT_URI)
    form = {
        "grant_type": "authorization_code",
        "code": answer["code"],
        "redirect_uri": REDIRECT_URI,
        "code_verifier": verifier,
        "client_id": client["client_id"],
    }
    tokens = requests.post(metadata["token_endpoint"], data=form).json()
    response = requests.get(f"{site}/mcp", headers={"Authorization": f"Bearer {tokens['access_token']}"})
    assert response.json() == {"hello": "alice"}
    assert requests.get(f"{site}/mcp").status_code == 401
