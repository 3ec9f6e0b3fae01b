"""Support staff: they look at everything in the admin and take access away, and give none."""

from __future__ import annotations

from django.apps import apps
from django.contrib.auth.models import Group, Permission
from django.contrib.contenttypes.models import ContentType
from django.db import transaction
from django.db.models import Q

from mcp_oidc.models.clients import CLIENT_MODEL

VERBS = ("view", "revoke")


def grant_support(group_name: str) -> tuple[Group, list[str]]:
    """The group of this name, made if there is none, with what support staff need, and the names of that.

    Other permissions that it has stay.
    """
    models = [*apps.get_app_config("mcp_oidc").get_models(), apps.get_model(CLIENT_MODEL)]
    types = ContentType.objects.get_for_models(*models).values()
    verbs = Q()
    for verb in VERBS:
        verbs |= Q(codename__startswith=f"{verb}_")
    permissions = Permission.objects.filter(verbs, content_type__in=types).order_by("codename")
    with transaction.atomic():
        group, _ = Group.objects.get_or_create(name=group_name)
        group.permissions.add(*permissions)
    return group, [permission.codename for permission in permissions]
