"""Settings of a project with its own user model: UUID primary key, and an e-mail address in the place of a name."""

from __future__ import annotations

import os

from tests.projects.plain import *  # noqa: F403  # settings are made this way
from tests.projects.plain import APPS

INSTALLED_APPS = os.environ["APPS"].split(",") if "APPS" in os.environ else [*APPS, "tests.projects.people"]
AUTH_USER_MODEL = "people.Person"
