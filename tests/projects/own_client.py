"""Settings of a project with its own client model."""

from __future__ import annotations

import os

from tests.projects.plain import *  # noqa: F403  # settings are made this way
from tests.projects.plain import APPS

INSTALLED_APPS = os.environ["APPS"].split(",") if "APPS" in os.environ else [*APPS, "tests.projects.own_clients"]
OAUTH2_PROVIDER_APPLICATION_MODEL = "own_clients.DepartmentClient"
