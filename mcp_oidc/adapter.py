"""The one class that holds every override. Point `MCP_OIDC["ADAPTER"]` at a subclass of `Adapter`."""

from __future__ import annotations

import re
import secrets
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpRequest

from mcp_oidc.conf import app_settings

if TYPE_CHECKING:
    from mcp_oidc.protocol.client_metadata import ClientMetadata

# RFC 2606 2: nobody's.
_NO_ADDRESS = "user@idp.invalid"


class Adapter:
    """What a project may decide differently. Each method stands alone; override those you need.

    To refuse something, raise `mcp_oidc.errors.AccessDenied` with a description that the person may read.
    """

    def extract_custom_data(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        """What of the IdP's claims to keep with the identity; tools find it as `principal.custom_data`. JSON only."""
        return {}

    def authorize_login(self, claims: Mapping[str, Any]) -> None:
        """Raise `AccessDenied` for a user of the IdP who may not log in here at all."""

    def authorize_registration(self, request: HttpRequest, metadata: ClientMetadata) -> None:
        """Raise `AccessDenied` for a client that may not register."""

    def authorize_connection(self, user: AbstractBaseUser, client: Any, scopes: tuple[str, ...]) -> tuple[str, ...]:
        """The scopes that `user` may give `client`: `scopes`, or fewer. Raise `AccessDenied` to refuse the client."""
        return scopes

    def access_token_claims(self, user: AbstractBaseUser, client: Any) -> dict[str, Any]:
        """Claims to add to access tokens. Those that are the server's to say are left out, and so are nulls."""
        return {}

    def verified_email(self, claims: Mapping[str, Any]) -> str:
        """The address that the IdP vouches for, or an empty string: no other one is kept with a user.

        Whoever may choose an address freely at the IdP could else be taken for somebody else by the project's own code.
        Override it for an IdP that never says `email_verified`, but lets nobody choose.
        """
        email = claims.get("email")
        return email if isinstance(email, str) and claims.get("email_verified") is True else ""

    def is_linkable(self, user: AbstractBaseUser, claims: Mapping[str, Any]) -> bool:
        """Whether a first login may be given to `user`, an existing account of the same verified address.

        Asked where `UPSTREAM["LINK_BY_EMAIL"]` is on, and never about staff and superusers, who are not linked at all.
        No for whoever has a permission, of their own or by a group.
        """
        return not getattr(user, "get_all_permissions", set)()

    def create_user(self, claims: Mapping[str, Any]) -> AbstractBaseUser:
        """The new Django user for somebody who logs in at the IdP for the first time. The caller holds a transaction.

        Name and address follow the claims and never collide: a name that is taken gets a random ending, and an address
        that is taken is left out. The password is unusable.
        """
        model = get_user_model()
        fields = self.user_fields(claims)
        email = model.get_email_field_name()
        if email in fields:
            fields[email] = _free_address(model, fields[email])
        user = model(**{**fields, model.USERNAME_FIELD: _free_name(model, self.username(claims))})
        user.set_unusable_password()
        user.save()
        return user

    def update_user(self, user: AbstractBaseUser, claims: Mapping[str, Any]) -> None:
        """What else follows the claims: groups, staff flags. Called at each login, the first one included.

        Save what you change, with `update_fields`. The caller holds a transaction and a lock on the user. Who is
        inactive afterwards is not logged in.
        """

    def username(self, claims: Mapping[str, Any]) -> str:
        """The value for the user model's USERNAME_FIELD: an address where that is an e-mail field, else a name.

        Empty where the claims hold none: then a new user gets a random one.
        """
        model = get_user_model()
        if model.get_email_field_name() == model.USERNAME_FIELD:
            # An address that the IdP did not verify may be somebody else's: it must not become a login name.
            return self.verified_email(claims)
        email = str(claims.get("email") or "")
        # Normalised as Django's own forms do it, or one name could look like another.
        name = model.normalize_username(str(claims.get("preferred_username") or email.partition("@")[0] or ""))
        return re.sub(r"[^\w.@+-]", "-", name)[:100]

    def user_fields(self, claims: Mapping[str, Any]) -> dict[str, Any]:
        """Further fields of a user, from claims: name and verified e-mail, where the user model has them.

        For new users, and with `UPSTREAM["UPDATE_USERS"]` at each login; then what is empty here is left as it is.
        """
        model = get_user_model()
        values = {
            model.get_email_field_name(): self.verified_email(claims),
            "first_name": str(claims.get("given_name") or ""),
            "last_name": str(claims.get("family_name") or ""),
        }
        names = {field.name for field in model._meta.get_fields()} - {model.USERNAME_FIELD}
        return {name: fitting(model, name, value) for name, value in values.items() if name in names}


def get_adapter() -> Adapter:
    """The project's adapter."""
    adapter: Adapter = app_settings.ADAPTER()
    return adapter


def is_taken(model: type[Any], name: str, value: str, *, besides: Any = None) -> bool:
    """Whether a user other than the one of the primary key `besides` has that name or address, in any letter case."""
    # Not the default manager, which may hide some.
    others = model._base_manager.filter(**{f"{name}__iexact": value}).exclude(pk=besides)
    return bool(others.exists())


def fitting(model: type[Any], name: str, value: str) -> str:
    """As much of `value` as the field takes. Of an address all or nothing: half of one is another one."""
    limit = _limit(model, name)
    return value[:limit] if name != model.get_email_field_name() or len(value) <= limit else ""


def _free_name(model: type[Any], wanted: str) -> str:
    limit = _limit(model, model.USERNAME_FIELD)
    is_address = model.get_email_field_name() == model.USERNAME_FIELD
    name = fitting(model, model.USERNAME_FIELD, wanted)
    if name and not is_taken(model, model.USERNAME_FIELD, name):
        return name
    # An address with an ending would be somebody's, or nobody's.
    return _unique_name(_NO_ADDRESS if is_address else name or "user", limit)


def _free_address(model: type[Any], wanted: str) -> str | None:
    field = model._meta.get_field(model.get_email_field_name())
    if wanted and not is_taken(model, field.name, wanted):
        return wanted
    # Two users without an address must not collide, either.
    if not getattr(field, "unique", False):
        return ""
    return None if field.null else _unique_name(_NO_ADDRESS, _limit(model, field.name))


def _limit(model: type[Any], name: str) -> int:
    return getattr(model._meta.get_field(name), "max_length", None) or 150


def _unique_name(name: str, limit: int) -> str:
    local, at, domain = name.partition("@")
    # Random, or somebody could take the name of another before them.
    ending = f"-{secrets.token_hex(6)}{at}{domain}"[:limit]
    return local[: limit - len(ending)] + ending
