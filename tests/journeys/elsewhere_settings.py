"""The sample's settings, with a resource in another process besides: ELSEWHERE_RESOURCE is its URL."""

from __future__ import annotations

import os

from sample_project.settings import *  # noqa: F403  # all of them
from sample_project.settings import MCP_OIDC

MCP_OIDC["RESOURCES"][os.environ["ELSEWHERE_RESOURCE"]] = {"NAME": "Tools elsewhere"}
