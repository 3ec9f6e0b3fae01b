"""The sample's settings, altered so that a test need not wait for minutes, and can hit a moment."""

from __future__ import annotations

import os

from sample_project.settings import *  # noqa: F403  # settings are made for this
from sample_project.settings import DATABASES, INSTALLED_APPS, MIDDLEWARE

# Before the app itself, which imports what is altered.
INSTALLED_APPS = ["tests.faults.quick_keys.QuickKeysConfig", *INSTALLED_APPS]
MIDDLEWARE = ["tests.faults.middlewares.tell", "tests.faults.middlewares.hold", *MIDDLEWARE]
if "BUSY_TIMEOUT" in os.environ:
    DATABASES["default"]["OPTIONS"]["timeout"] = int(os.environ["BUSY_TIMEOUT"])
ROOT_URLCONF = os.environ.get("ALTERED_URLS", "sample_project.urls")
