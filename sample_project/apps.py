"""The sample as a Django app: it has one model, and the command `demo`."""

from django.apps import AppConfig


class SampleConfig(AppConfig):
    """Notes, for tools to write."""

    name = "sample_project"
    default_auto_field = "django.db.models.BigAutoField"
