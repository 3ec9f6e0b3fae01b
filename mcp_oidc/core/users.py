"""Users who are deactivated or deleted: what they allowed their clients ends with them.

Django tells of `save()` and of every way of deleting. It tells nobody of `QuerySet.update()`: tokens of an inactive
user are refused in any case, and revoked for good when one of them is tried at the token endpoint.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from django.apps import apps
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist
from django.db.models.signals import post_save, pre_delete

from mcp_oidc.core.audit import Caller, record
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.core.living_cache import forget_living
from mcp_oidc.core.revocation import revoke_deleted_user, revoke_user


def watch_users() -> None:
    """Hear of users who are saved or deleted, as the project's user model or as one that extends it.

    Of those who are edited in the admin its own log tells who did it: it is written in the same transaction.
    """
    user_model = get_user_model()._meta.concrete_model
    assert user_model is not None  # noqa: S101  # abstract models alone have none
    for model in apps.get_models():
        if not issubclass(model, user_model):
            continue
        post_save.connect(_note_save, sender=model, dispatch_uid="mcp_oidc.note_save")
        # A proxy sends its own signals and none of the model behind it; a model with a table of its own sends both.
        if model._meta.concrete_model is user_model:
            pre_delete.connect(_note_deletion, sender=model, dispatch_uid="mcp_oidc.note_deletion")
    if apps.is_installed("django.contrib.admin"):
        log = apps.get_model("admin", "LogEntry")
        post_save.connect(_note_edit, sender=log, dispatch_uid="mcp_oidc.note_edit")


def has_active_column(model: type[Any]) -> bool:
    """Whether users of this model are deactivated by a column. AbstractBaseUser has a constant in its place."""
    try:
        model._meta.get_field("is_active")
    except FieldDoesNotExist:
        return False
    return True


def _note_save(
    sender: type[Any],
    instance: AbstractBaseUser,
    created: bool,
    raw: bool,
    update_fields: Collection[str] | None,
    **kwargs: object,
) -> None:
    # A fixture comes table by table: what the user has may not be there yet, or be about to go.
    if created or raw or not _was_active_saved(sender, update_fields) or instance.is_active:
        return
    forget_living()
    revoke_user(instance, "user_inactive")


def _was_active_saved(model: type[Any], update_fields: Collection[str] | None) -> bool:
    # A property may follow from any column.
    return update_fields is None or "is_active" in update_fields or not has_active_column(model)


def _note_deletion(sender: type[Any], instance: AbstractBaseUser, **kwargs: object) -> None:
    revoke_deleted_user(instance)


def _note_edit(sender: type[Any], instance: Any, created: bool, raw: bool, **kwargs: object) -> None:
    if raw or not created or not instance.content_type_id:
        return
    model = instance.content_type.model_class()
    if model is None or not issubclass(model, get_user_model()):
        return
    fields = _edited_fields(instance.change_message)
    user = model._base_manager.filter(pk=instance.object_id).first() if fields else None
    if user is not None:
        detail = {"changed": fields}
        caller = Caller(operator=str(instance.user_id))
        record(Kind.USER_CHANGED, Outcome.ALLOWED, user=user, caller=caller, detail=detail)


def _edited_fields(change_message: str) -> list[str]:
    """The labels of what was edited in a form of the admin; none for a message of an action."""
    try:
        changes = json.loads(change_message)
    except ValueError:
        return []
    entries = changes if isinstance(changes, list) else []
    edits = [entry.get("changed") for entry in entries if isinstance(entry, dict)]
    return [str(field) for edit in edits if isinstance(edit, dict) for field in edit.get("fields", ())]
