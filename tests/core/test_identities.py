"""Identities: a user is the pair of issuer and `sub`, and nothing else."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import User

from mcp_oidc.adapter import Adapter
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.identities import MAX_SUB_LENGTH, find_identity, local_identity, sign_in
from mcp_oidc.errors import AccessDenied, UpstreamError
from mcp_oidc.models import Event, Identity
from tests.core.parallel import in_parallel

pytestmark = pytest.mark.django_db

IDP = "https://idp.example"
CLAIMS = {
    "sub": "248289761001",
    "preferred_username": "jane",
    "given_name": "Jane",
    "family_name": "Doe",
    "email": "jane@example.com",
    "email_verified": True,
}


def log_in(caller: Caller, **changes: Any) -> Identity:
    provider, issuer = changes.pop("provider", "upstream"), changes.pop("issuer", IDP)
    return sign_in(provider, issuer, {**CLAIMS, **changes}, caller=caller)


def test_first_login_makes_a_user_from_the_claims(caller: Caller) -> None:
    identity = log_in(caller)
    user = User.objects.get()
    assert identity.user == user
    assert (user.username, user.first_name, user.last_name, user.email) == ("jane", "Jane", "Doe", "jane@example.com")
    assert not user.has_usable_password()
    assert not user.is_staff
    assert not user.is_superuser
    assert str(identity.subject) != CLAIMS["sub"]
    event = Event.objects.get(kind="login")
    assert (event.outcome, event.user_id, event.address) == ("allowed", user.pk, caller.address)


@pytest.mark.requirement("user-is-issuer-and-sub")
def test_same_person_is_the_same_user_whatever_else_changes(caller: Caller) -> None:
    first = log_in(caller)
    again = log_in(caller, email="new@example.com", preferred_username="renamed", given_name="Janet")
    assert (again.pk, again.user_id, again.subject) == (first.pk, first.user_id, first.subject)
    assert find_identity(first.pk).claims["email"] == "new@example.com"
    assert User.objects.count() == 1


@pytest.mark.requirement("user-is-issuer-and-sub")
@pytest.mark.parametrize(
    "change",
    [
        {"sub": "248289761002"},
        {"issuer": "https://other.example"},
        {"provider": "second"},
        {"sub": "248289761001 "},
        {"sub": "a", "issuer": IDP},
    ],
)
def test_any_other_pair_is_another_user_with_a_name_of_their_own(caller: Caller, change: dict[str, Any]) -> None:
    first, second = log_in(caller), log_in(caller, **change)
    assert first.user_id != second.user_id
    assert second.user.get_username().startswith("jane-")
    assert first.subject != second.subject


def test_sub_has_case(caller: Caller) -> None:
    # Which MariaDB does not see.
    assert log_in(caller, sub="AbC").user_id != log_in(caller, sub="aBc").user_id


@pytest.mark.requirement("email-never-links")
@pytest.mark.parametrize("verified", [True, False, "true", None])
@pytest.mark.parametrize("email", ["alice@example.com", "ALICE@EXAMPLE.COM"])
def test_email_never_links_to_an_account(user: AbstractBaseUser, caller: Caller, verified: Any, email: str) -> None:
    identity = log_in(caller, email=email, email_verified=verified, preferred_username="alice")
    assert identity.user_id != user.pk
    assert identity.user.get_username().startswith("alice-")
    assert identity.user.email == ""


@pytest.mark.requirement("email-never-links")
def test_user_name_of_a_superuser_is_not_taken_over(caller: Caller) -> None:
    admin = get_user_model().objects.create_superuser("admin", "admin@example.com", "x")
    for name in ("admin", "ADMIN", "\uff41\uff44\uff4d\uff49\uff4e"):
        identity = log_in(caller, sub=f"sub of {name}", preferred_username=name, email="admin@example.com")
        assert identity.user_id != admin.pk
        assert identity.user.get_username().casefold().startswith("admin-")
        assert not identity.user.is_superuser


@pytest.mark.parametrize(
    "sub", [None, "", 0, 5, True, ["x"], {}, "x" * (MAX_SUB_LENGTH + 1), "a\0b", "a\nb", "\ud800", "\u202e"]
)
def test_claims_that_name_nobody_are_refused(caller: Caller, sub: Any) -> None:
    with pytest.raises(UpstreamError):
        log_in(caller, sub=sub)
    assert not User.objects.exists()


def test_claims_without_a_sub_are_refused(caller: Caller) -> None:
    with pytest.raises(UpstreamError):
        sign_in("upstream", IDP, {"email": "jane@example.com"}, caller=caller)


def test_longest_sub_fits(caller: Caller) -> None:
    assert log_in(caller, sub="\u00e9" * MAX_SUB_LENGTH).sub == "\u00e9" * MAX_SUB_LENGTH


@pytest.mark.parametrize(
    "claims",
    [
        {"preferred_username": "x" * 500, "email": "y" * 500, "given_name": "z" * 500, "family_name": "z" * 500},
        {"preferred_username": None, "email": None, "given_name": None, "family_name": None},
        {"preferred_username": "", "email": ""},
        {"preferred_username": ["a"], "email": {"a": 1}, "given_name": 5, "family_name": True},
        {"preferred_username": "a b/c\\d<script>\u202e", "email": "not an address"},
        {"preferred_username": "\N{GRINNING FACE}\u2100"},
        {"preferred_username": "a@" + "b" * 300},
    ],
)
def test_odd_claims_make_a_user_all_the_same(caller: Caller, claims: dict[str, Any]) -> None:
    for number in range(3):
        user = log_in(caller, sub=str(number), **claims).user
        user.full_clean(exclude=["password", "email"])
    assert User.objects.count() == 3


def test_inactive_user_is_refused_and_stays_as_they_are(caller: Caller) -> None:
    identity = log_in(caller)
    User.objects.update(is_active=False)
    with pytest.raises(AccessDenied):
        log_in(caller, email="new@example.com")
    assert find_identity(identity.pk).claims["email"] == "jane@example.com"
    assert Event.objects.filter(kind="login", outcome="refused", user_id=identity.user_id).count() == 1


class Selective(Adapter):
    def authorize_login(self, claims: Any) -> None:
        if not str(claims["email"]).endswith("@corp.example"):
            raise AccessDenied("Only for people of Corp.")

    def extract_custom_data(self, claims: Any) -> dict[str, Any]:
        return {"team": claims.get("team")}


def test_adapter_decides_who_may_log_in_and_what_is_kept(caller: Caller, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": Selective}
    with pytest.raises(AccessDenied, match="Only for people of Corp"):
        log_in(caller)
    assert not User.objects.exists()
    identity = log_in(caller, email="jane@corp.example", team="blue")
    assert find_identity(identity.pk).custom_data == {"team": "blue"}


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("user-is-issuer-and-sub")
def test_eight_first_logins_at_once_are_one_user(caller: Caller) -> None:
    identities = in_parallel(lambda: log_in(caller))
    assert {identity.user_id for identity in identities} == {User.objects.get().pk}
    assert Identity.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_first_logins_at_once_of_people_who_share_a_name_are_as_many_users(caller: Caller) -> None:
    subs = iter([f"person {number}" for number in range(8)])
    identities = in_parallel(lambda: log_in(caller, sub=next(subs)))
    assert len({identity.user_id for identity in identities}) == User.objects.count() == 8


def test_user_of_the_project_itself_has_one_identity(user: AbstractBaseUser) -> None:
    first, second = local_identity(user), local_identity(user)
    assert first.pk == second.pk
    assert (first.provider, first.user_id) == ("local", user.pk)


@pytest.mark.django_db(transaction=True)
def test_local_identity_is_made_once_by_eight_threads(user: AbstractBaseUser) -> None:
    assert len({identity.pk for identity in in_parallel(lambda: local_identity(user))}) == 1


def test_idp_cannot_speak_for_a_local_user(user: AbstractBaseUser, caller: Caller) -> None:
    local = local_identity(user)
    assert log_in(caller, sub=str(user.pk)).user_id != local.user_id


def test_identity_that_is_gone_is_none() -> None:
    assert find_identity(0) is None
