"""How a person makes an app forget how it registered here, after which it registers anew."""

from __future__ import annotations

from dataclasses import dataclass

from django.utils.translation import gettext as _


@dataclass(frozen=True)
class Recipe:
    """What to do in one app."""

    app: str
    steps: str


def recipes() -> tuple[Recipe, ...]:
    """One for each known app, and one for all others."""
    return (
        Recipe("Claude", _("In Settings, Connectors: remove the connector, and add it again.")),
        Recipe("Claude Code", _("Enter /mcp, choose the server and “Clear authentication”. Then authenticate again.")),
        Recipe("ChatGPT", _("In Settings, Apps & Connectors: delete the connector, and create it again.")),
        Recipe("Cursor", _("In Settings, MCP: log out of the server, or remove it and add it again.")),
        Recipe(
            "VS Code",
            _("Run the command “Authentication: Remove Dynamic Authentication Providers”, and restart the server."),
        ),
        Recipe("Windsurf", _("In the settings for MCP servers: remove the server, and add it again.")),
        Recipe("mcp-remote", _("Delete the folder .mcp-auth in your home folder, and restart the app.")),
        Recipe("MCP Inspector", _("Open the auth settings, press “Clear OAuth State”, and connect again.")),
        Recipe(_("Any other app"), _("Remove this server from the app and add it again.")),
    )
