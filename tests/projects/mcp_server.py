"""Settings of a project with django-mcp-server, for an environment with version 1 of the `mcp` SDK."""

from tests.resource.doc_pages import run_block
from tests.settings import *  # noqa: F403  # settings are made this way
from tests.settings import INSTALLED_APPS as APPS

_settings = run_block("protect/django-mcp-server.md", 0, INSTALLED_APPS=[*APPS, "tests.projects.tools"])
INSTALLED_APPS = _settings["INSTALLED_APPS"]
DJANGO_MCP_AUTHENTICATION_CLASSES = _settings["DJANGO_MCP_AUTHENTICATION_CLASSES"]
DJANGO_MCP_GLOBAL_SERVER_CONFIG = _settings["DJANGO_MCP_GLOBAL_SERVER_CONFIG"]
