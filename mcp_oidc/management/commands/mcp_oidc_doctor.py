"""`manage.py mcp_oidc_doctor`: what is wrong with a deployment, and the line that mends it."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from mcp_oidc.doctor import Report, examine
from mcp_oidc.doctor.findings import Finding, Level
from mcp_oidc.protocol.uris import check_web_uri

_MARKS = {Level.OK: "ok     ", Level.NOTE: "note   ", Level.WARNING: "WARNING", Level.ERROR: "ERROR  "}


class Command(BaseCommand):
    """Changes nothing. Exits with 1 if there is an error, with `--strict` also if there is a warning."""

    help = (
        "Look at this installation from inside, and at the server from outside, at URL or ISSUER: documents, "
        "endpoints, MCP endpoints, the identity provider; and say whether the well-known products could connect. "
        "Nothing is changed. The exit code is 1 if there is an error, with --strict also if there is a warning."
    )
    # It tells what the checks say, and goes on.
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("url", nargs="?", metavar="URL", help="address of the server, default: ISSUER")
        parser.add_argument("--json", action="store_true", help="print one JSON document, for monitoring")
        parser.add_argument("--strict", action="store_true", help="exit with 1 for warnings, too")

    def handle(self, *args: Any, **options: Any) -> None:
        report = examine(_url(options["url"]))
        self.stdout.write(json.dumps(_document(report), indent=2) if options["json"] else _text(report))
        bad = report.count(Level.ERROR) + (report.count(Level.WARNING) if options["strict"] else 0)
        if bad:
            sys.exit(1)


def _url(text: str | None) -> str | None:
    if text is None:
        return None
    try:
        return check_web_uri(text)
    except ValueError as error:
        raise CommandError(f"URL cannot be used: {error}.") from None


def _document(report: Report) -> dict[str, Any]:
    return {
        "issuer": report.issuer,
        "errors": report.count(Level.ERROR),
        "warnings": report.count(Level.WARNING),
        "findings": [asdict(finding) for finding in report.findings],
        "products": [
            {"name": verdict.product, "can_connect": verdict.can_connect, "reasons": list(verdict.reasons)}
            for verdict in report.verdicts
        ],
    }


def _text(report: Report) -> str:
    lines = [line for finding in report.findings for line in _lines(finding)]
    if report.issuer is None:
        lines.append("Give the URL of the server, or set ISSUER, to have it looked at from outside.")
    for verdict in report.verdicts:
        answer = "can connect" if verdict.can_connect else f"CANNOT connect: {'; '.join(verdict.reasons)}"
        lines.append(f"{verdict.product}: {answer}")
    lines.append(f"{report.count(Level.ERROR)} errors, {report.count(Level.WARNING)} warnings.")
    return "\n".join(lines)


def _lines(finding: Finding) -> list[str]:
    lines = [f"{_MARKS[finding.level]} {finding.check}: {finding.message}"]
    return [*lines, *(f"        {line}" for line in finding.mend.splitlines())]
