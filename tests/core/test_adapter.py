"""The adapter's own behaviour: the names that new users get."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User

from mcp_oidc.adapter import Adapter, get_adapter

pytestmark = pytest.mark.django_db


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"preferred_username": "jane", "email": "j@example.com"}, "jane"),
        ({"preferred_username": "jane@corp.example"}, "jane@corp.example"),
        ({"email": "jane@example.com"}, "jane"),
        ({"preferred_username": "jane doe"}, "jane-doe"),
        ({"preferred_username": "\uff4a\uff41\uff4e\uff45"}, "jane"),
        ({"preferred_username": "a\u2100"}, "aa-c"),
        ({"preferred_username": "x" * 300}, "x" * 100),
    ],
)
def test_name_follows_the_claims(claims: dict[str, Any], expected: str) -> None:
    assert Adapter().create_user(claims).get_username() == expected


@pytest.mark.parametrize("claims", [{}, {"email": ""}, {"preferred_username": None, "email": None}, {"email": "@x"}])
def test_user_without_a_name_gets_a_random_one(claims: dict[str, Any]) -> None:
    names = {Adapter().create_user(claims).get_username() for _ in range(3)}
    assert len(names) == 3
    assert all(name.startswith("user-") for name in names)


def test_taken_name_gets_an_ending_that_nobody_can_foresee() -> None:
    names = {Adapter().create_user({"preferred_username": name, "sub": "1"}).get_username() for name in ["eve", "EVE"]}
    again = Adapter().create_user({"preferred_username": "eve", "sub": "1"}).get_username()
    assert len({*names, again}) == 3


@pytest.mark.parametrize("name", ["jane", "j@" + "b" * 98, "@" + "b" * 99, "a" * 100])
@pytest.mark.parametrize("limit", [20, 150])
def test_name_with_an_ending_fits_its_column(monkeypatch: pytest.MonkeyPatch, name: str, limit: int) -> None:
    monkeypatch.setattr(User._meta.get_field("username"), "max_length", limit)
    names = [Adapter().create_user({"preferred_username": name}).get_username() for _ in range(3)]
    assert len(set(names)) == 3
    assert max(map(len, names)) <= limit


@pytest.fixture
def _email_is_the_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(User, "USERNAME_FIELD", "email")


@pytest.mark.usefixtures("_email_is_the_name")
def test_proven_address_is_the_name_where_addresses_are_names() -> None:
    claims = {"email": "jane@example.com", "email_verified": True}
    assert Adapter().create_user(claims).email == "jane@example.com"


@pytest.mark.requirement("email-never-links")
@pytest.mark.usefixtures("_email_is_the_name")
@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_unproven_address_is_nobodys_name(verified: Any) -> None:
    email = Adapter().create_user({"email": "jane@example.com", "email_verified": verified}).email
    assert email.startswith("user-")
    assert email.endswith("@idp.invalid")


@pytest.mark.requirement("user-never-collides")
@pytest.mark.usefixtures("_email_is_the_name")
def test_proven_address_of_another_user_is_not_given_twice_where_addresses_are_names() -> None:
    User.objects.create_user("jane", "Jane@example.com")
    email = Adapter().create_user({"email": "jane@example.com", "email_verified": True}).email
    assert email.endswith("@idp.invalid")


@pytest.mark.requirement("email-verified-only")
@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_address_that_the_idp_does_not_call_verified_is_not_kept(verified: Any) -> None:
    assert Adapter().create_user({"email": "jane@example.com", "email_verified": verified}).email == ""


@pytest.mark.requirement("email-verified-only")
@pytest.mark.parametrize("email", [None, 5, ["jane@example.com"], {"a": 1}, "j" * 250 + "@example.com"])
def test_address_that_is_none_or_too_long_is_not_kept(email: Any) -> None:
    assert Adapter().create_user({"preferred_username": "jane", "email": email, "email_verified": True}).email == ""


class Vouching(Adapter):
    """For an IdP that never says `email_verified`."""

    def verified_email(self, claims: Any) -> str:
        return str(claims.get("email") or "")


def test_adapter_may_vouch_for_addresses_of_its_idp() -> None:
    assert Vouching().create_user({"email": "jane@example.com"}).email == "jane@example.com"


@pytest.mark.requirement("user-never-collides")
def test_address_of_another_user_is_left_out() -> None:
    users = [
        Adapter().create_user({"email": email, "email_verified": True})
        for email in ("jane@example.com", "JANE@example.com")
    ]
    assert [user.email for user in users] == ["jane@example.com", ""]


@pytest.mark.requirement("user-never-collides")
@pytest.mark.parametrize(("null", "ending"), [(True, "None"), (False, "@idp.invalid")])
def test_users_without_an_address_do_not_collide_where_the_column_is_unique(
    monkeypatch: pytest.MonkeyPatch, null: bool, ending: str
) -> None:
    field = User._meta.get_field("email")
    monkeypatch.setitem(vars(field), "unique", True)
    monkeypatch.setattr(field, "null", null)
    # The column of the tests' own model takes no null.
    monkeypatch.setattr(User, "save", lambda self: None)
    emails = [str(Adapter().create_user({"preferred_username": name}).email) for name in ("jane", "john")]
    assert all(email.endswith(ending) for email in emails)
    assert null or emails[0] != emails[1]


def test_holder_of_a_permission_is_not_linkable_and_anybody_else_is(user: AbstractBaseUser) -> None:
    assert Adapter().is_linkable(user, {})
    # A user model need not know of permissions.
    assert Adapter().is_linkable(object(), {})
    assert not Adapter().is_linkable(User(is_superuser=True), {})


class OwnAdapter(Adapter):
    """A project's own."""


@pytest.mark.parametrize("value", [OwnAdapter, f"{__name__}.OwnAdapter"])
def test_project_names_its_own_adapter(settings: LazySettings, value: Any) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": value}
    assert type(get_adapter()).__name__ == "OwnAdapter"
