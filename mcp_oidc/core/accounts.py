"""The Django users behind identities: what of them follows the claims of later logins."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import IntegrityError, transaction

from mcp_oidc.adapter import fitting, get_adapter, is_taken

logger = logging.getLogger("mcp_oidc")


def follow_claims(user: AbstractBaseUser, claims: Mapping[str, Any]) -> list[str]:
    """Give `user` the name and address that the claims hold. What they leave out is left as it is.

    Returns the fields that could not follow, because their new value is another user's. The caller holds a transaction.
    """
    model, adapter = get_user_model(), get_adapter()
    username = fitting(model, model.USERNAME_FIELD, adapter.username(claims))
    wanted = {**adapter.user_fields(claims), model.USERNAME_FIELD: username}
    changes = {
        name: value for name, value in wanted.items() if value not in ("", None) and getattr(user, name) != value
    }
    taken = [name for name, value in changes.items() if not _write(user, name, value)]
    if taken:
        logger.info("%s of user %s cannot follow the claims: another user's", " and ".join(taken), user.pk)
    return taken


def _write(user: AbstractBaseUser, name: str, value: Any) -> bool:
    model = get_user_model()
    is_shared_by_nobody = name in (model.USERNAME_FIELD, model.get_email_field_name())
    if is_shared_by_nobody and is_taken(model, name, value, besides=user.pk):
        return False
    old = getattr(user, name)
    setattr(user, name, value)
    try:
        # A savepoint: somebody else may have taken it since, and the login goes on.
        with transaction.atomic():
            user.save(update_fields=[name])
    except IntegrityError:
        setattr(user, name, old)
        return False
    return True
