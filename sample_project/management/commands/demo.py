"""`manage.py demo`: see everything work on this machine, then connect a client of your own."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from sample_project.demo.identity_provider import embedded_identity_provider
from sample_project.demo.processes import is_up, running
from sample_project.demo.secrets import DemoSecrets, load_secrets
from sample_project.demo.tour import Tour

ADMIN = "admin"


class Command(BaseCommand):
    """Everything embedded: SQLite, an identity provider, the sample under uvicorn, and the official MCP client."""

    help = "Run the sample with an embedded identity provider, tour it with the official MCP client, and stay up."

    # The settings that matter are those of the processes that it starts.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--port", type=int, default=8000, help="of the server; the identity provider takes the next"
        )
        parser.add_argument("--once", action="store_true", help="exit after the tour: 0 only if every step held")

    def handle(self, *args: Any, **options: Any) -> None:
        port: int = options["port"]
        self._require_free(port, port + 1)
        kept = load_secrets(Path(settings.BASE_DIR) / "demo-secrets.json")
        with embedded_identity_provider(port + 1) as issuer:
            environment = _environment(port, issuer, kept)
            self._prepare(environment)
            with running(_server_command(port), port=port, environment=environment) as server:
                self._tour(f"http://localhost:{port}")
                if not options["once"]:
                    self._stay(port, kept, server)

    def _require_free(self, *ports: int) -> None:
        for port in ports:
            if is_up(port):
                raise CommandError(f"Port {port} is in use. Choose another: python manage.py demo --port {port + 100}")

    def _prepare(self, environment: dict[str, str]) -> None:
        self._say("Migrating the database")
        self._manage(environment, "migrate", "--verbosity", "0")
        # It fails where the account exists already, from an earlier run, and that is as good.
        self._manage(environment, "createsuperuser", "--noinput", check=False)

    def _manage(self, environment: dict[str, str], *command: str, check: bool = True) -> None:
        output = None if check else subprocess.DEVNULL
        subprocess.run(  # noqa: S603  # our own command
            [sys.executable, "manage.py", *command],
            env={**os.environ, **environment},
            cwd=settings.BASE_DIR,
            check=check,
            stdout=output,
            stderr=output,
        )

    def _tour(self, base_url: str) -> None:
        try:
            asyncio.run(Tour(base_url, user="alice", report=self._say).run())
        except Exception as error:
            raise CommandError(f"The tour failed: {error}") from error
        self._say("Every step held.")

    def _stay(self, port: int, kept: DemoSecrets, server: subprocess.Popen[bytes]) -> None:
        self._say(_INVITATION.format(url=f"http://localhost:{port}", admin=ADMIN, password=kept.admin_password))
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            server.wait()
        except KeyboardInterrupt:
            self._say("\nStopping.")

    def _say(self, text: str) -> None:
        self.stdout.write(text)
        self.stdout.flush()


def _server_command(port: int) -> list[str]:
    command = [sys.executable, "-m", "uvicorn", "sample_project.asgi:application", "--host", "127.0.0.1"]
    return [*command, "--port", str(port), "--log-level", "warning", "--timeout-graceful-shutdown", "3"]


def _environment(port: int, issuer: str, kept: DemoSecrets) -> dict[str, str]:
    return {
        "BASE_URL": f"http://localhost:{port}",
        "OIDC_ISSUER": issuer,
        "OIDC_CLIENT_ID": "demo",
        "OIDC_CLIENT_SECRET": "demo-secret",
        "SESSION_SECRET": kept.session_secret,
        "DJANGO_SUPERUSER_USERNAME": ADMIN,
        "DJANGO_SUPERUSER_EMAIL": "admin@example.com",
        "DJANGO_SUPERUSER_PASSWORD": kept.admin_password,
    }


_INVITATION = """
The server is up. Connect a client of yours to

    {url}/mcp

  Claude Code   claude mcp add --transport http demo {url}/mcp
                then, in Claude Code, /mcp and Authenticate
  Cursor        .cursor/mcp.json:  {{"mcpServers": {{"demo": {{"url": "{url}/mcp"}}}}}}
  VS Code       code --add-mcp '{{"name": "demo", "type": "http", "url": "{url}/mcp"}}'

It opens your browser; log in as alice or bob.

The admin is at {url}/admin/login/?password (user {admin}, password {password});
users whom you make staff there log in at {url}/admin/ as everywhere.
Press Ctrl+C to stop."""
