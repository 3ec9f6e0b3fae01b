"""Linking: a first login is given to the existing account of the same verified address, where the project allows it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.exceptions import FieldDoesNotExist

from mcp_oidc.adapter import get_adapter
from mcp_oidc.core import audit
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.errors import AccessDenied
from mcp_oidc.models import Identity

# More accounts than this of one address are several in any case.
_MAX_ACCOUNTS = 50


def find_account(provider: str, claims: Mapping[str, Any], *, caller: audit.Caller) -> AbstractBaseUser | None:
    """The one active account that a first login with these claims may be given to, or None.

    An account that has the address and is not given away is written to the audit. What is found here may change until
    `hold_account`. Raises `AccessDenied` where every account of the address is deactivated: a new one would let in whom
    that was to keep out.
    """
    email = claims.get("email")
    # Of the claims themselves: `verified_email` of the adapter decides what is kept, and not whose account this is.
    if claims.get("email_verified") is not True or not isinstance(email, str) or not email:
        return None
    all_accounts = _accounts(email)
    accounts = [account for account in all_accounts if account.is_active]
    if all_accounts and not accounts:
        raise AccessDenied("This account is deactivated.", log="the account of the address is inactive")
    if not accounts:
        return None
    if len(accounts) > 1:
        audit.record(Kind.LOGIN_LINKED, Outcome.REFUSED, reason="several accounts have the address", caller=caller)
        return None
    objection = _objection(accounts[0], provider, claims)
    if objection:
        audit.record(Kind.LOGIN_LINKED, Outcome.REFUSED, reason=objection, user=accounts[0], caller=caller)
        return None
    return accounts[0]


def hold_account(account: AbstractBaseUser, provider: str, claims: Mapping[str, Any]) -> AbstractBaseUser | None:
    """`account` as it is now, locked until the end of the transaction; None if it may no longer be linked.

    Of two logins that are linked at once, the second sees here what the first one did.
    """
    held = type(account)._base_manager.select_for_update().filter(pk=account.pk).first()
    if held is None or not held.is_active or _objection(held, provider, claims):
        return None
    return held


def _accounts(email: str) -> list[AbstractBaseUser]:
    model = get_user_model()
    name = model.get_email_field_name()
    try:
        model._meta.get_field(name)
    except FieldDoesNotExist:
        return []
    found = model._base_manager.filter(**{f"{name}__iexact": email})[:_MAX_ACCOUNTS]
    # Databases take more letters for the same than ASCII does: é for e in MariaDB, the Kelvin sign for k in PostgreSQL.
    return [account for account in found if _folded(getattr(account, name)) == _folded(email)]


def _folded(email: str) -> bytes:
    return email.encode().lower()


def _objection(account: AbstractBaseUser, provider: str, claims: Mapping[str, Any]) -> str:
    if getattr(account, "is_staff", False) or getattr(account, "is_superuser", False):
        return "the account is of staff"
    if Identity.objects.filter(user_id=account.pk, provider=provider).exists():
        return "the account has another identity at this provider"
    return "" if get_adapter().is_linkable(account, claims) else "refused by the adapter"
