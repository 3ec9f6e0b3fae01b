"""Settings of a project that forgot which model the clients are."""

from tests.projects.plain import *  # noqa: F403  # settings are made this way

del OAUTH2_PROVIDER_APPLICATION_MODEL  # noqa: F821  # it came with the star
