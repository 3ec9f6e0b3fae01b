"""Which app's command runs, where two have one of the same name."""

from __future__ import annotations

from django.core.management import get_commands

# DOT's first one looks into its own token tables, which stay empty here: it would take every client for an unused one.
# The second would store a secret in clear.
_OURS = ("clearcimdapplications", "createapplication")


def take_precedence() -> None:
    """Let our commands win over DOT's, whichever app INSTALLED_APPS lists first. A project's own command stays."""
    # Django keeps this dict for as long as the process lives, and looks commands up in it.
    commands = get_commands()
    for name in _OURS:
        if commands.get(name) == "oauth2_provider":
            commands[name] = "mcp_oidc"
