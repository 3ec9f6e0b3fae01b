"""The sample as a site with a strict policy for all its pages: Django's own where there is one."""

from __future__ import annotations

import os

import django

from sample_project.settings import *  # noqa: F403  # settings are made for this
from sample_project.settings import MIDDLEWARE as SAMPLE_MIDDLEWARE
from tests.policies import SITE_POLICY

HAS_POLICY = django.VERSION >= (6, 0)
SECURE_CSP = SITE_POLICY
LOCALE_PATHS = [path for path in [os.environ.get("LOCALE_DIR")] if path]
MIDDLEWARE = [
    "django.middleware.csp.ContentSecurityPolicyMiddleware" if HAS_POLICY else "tests.policies.strict_policy",
    *SAMPLE_MIDDLEWARE,
]
