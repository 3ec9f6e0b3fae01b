"""What was looked at, and what was seen."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Level(StrEnum):
    """How bad it is. An error keeps somebody out or is unsafe; a warning will, or may be."""

    OK = "ok"
    NOTE = "note"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True)
class Finding:
    """`check` names what was looked at, and `mend` is what to do, often the very line."""

    level: Level
    check: str
    message: str
    mend: str = ""


def ok(check: str, message: str) -> Finding:
    """All is well with it."""
    return Finding(Level.OK, check, message)


def note(check: str, message: str, mend: str = "") -> Finding:
    """Nothing is wrong, but an operator should know."""
    return Finding(Level.NOTE, check, message, mend)


def warning(check: str, message: str, mend: str) -> Finding:
    """Something will go wrong, or may."""
    return Finding(Level.WARNING, check, message, mend)


def error(check: str, message: str, mend: str) -> Finding:
    """Something is wrong."""
    return Finding(Level.ERROR, check, message, mend)
