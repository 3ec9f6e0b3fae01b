"""Settings of a project with both models of its own."""

from __future__ import annotations

import os

from tests.projects.own_client import *  # noqa: F403  # settings are made this way
from tests.projects.plain import APPS

OWN = ["tests.projects.people", "tests.projects.own_clients"]
INSTALLED_APPS = os.environ["APPS"].split(",") if "APPS" in os.environ else [*APPS, *OWN]
AUTH_USER_MODEL = "people.Person"
