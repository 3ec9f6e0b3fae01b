"""Linking a first login to the account of the same verified address, where the project allows it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group, Permission, User

from mcp_oidc.adapter import Adapter
from mcp_oidc.core import linking
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.identities import local_identity, sign_in
from mcp_oidc.errors import AccessDenied
from mcp_oidc.models import Event, Identity
from tests.core.parallel import in_parallel

pytestmark = pytest.mark.django_db

IDP = "https://idp.example"
CLAIMS = {"sub": "248289761001", "preferred_username": "jane", "email": "alice@example.com", "email_verified": True}


def log_in(caller: Caller, **changes: Any) -> Identity:
    """A login at a provider whose addresses link. The account of the fixture `user` has the address of the claims."""
    provider, issuer = changes.pop("provider", "upstream"), changes.pop("issuer", IDP)
    link_by_email = changes.pop("link_by_email", True)
    return sign_in(provider, issuer, {**CLAIMS, **changes}, caller=caller, link_by_email=link_by_email)


def linked() -> list[tuple[str, str]]:
    """What the audit says of linking: outcomes and reasons."""
    return list(Event.objects.filter(kind="login.linked").values_list("outcome", "reason"))


@pytest.mark.requirement("link-by-email")
@pytest.mark.parametrize("email", ["alice@example.com", "Alice@EXAMPLE.com"])
def test_verified_address_links_to_the_account_that_has_it(user: AbstractBaseUser, caller: Caller, email: str) -> None:
    identity = log_in(caller, email=email)
    assert identity.user_id == user.pk
    user.refresh_from_db()
    assert user.get_username() == "alice"
    assert user.check_password("a long password")
    event = Event.objects.get(kind="login.linked")
    assert (event.outcome, event.user_id, event.address) == ("allowed", user.pk, caller.address)
    assert event.detail == {"provider": "upstream", "issuer": IDP}


@pytest.mark.requirement("email-never-links")
def test_nothing_links_unless_it_is_allowed(user: AbstractBaseUser, caller: Caller) -> None:
    assert log_in(caller, link_by_email=False).user_id != user.pk
    assert linked() == []


@pytest.mark.requirement("link-by-email")
@pytest.mark.parametrize("verified", [False, None, "true", 1, [True]])
def test_address_that_the_idp_does_not_call_verified_links_nothing(
    user: AbstractBaseUser, caller: Caller, verified: Any
) -> None:
    assert log_in(caller, email_verified=verified).user_id != user.pk


class Trusting(Adapter):
    """Keeps every address."""

    def verified_email(self, claims: Any) -> str:
        return str(claims.get("email") or "")


@pytest.mark.requirement("link-by-email")
def test_adapter_that_keeps_unverified_addresses_does_not_make_them_link(
    user: AbstractBaseUser, caller: Caller, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": Trusting}
    assert log_in(caller, email_verified=False).user_id != user.pk


@pytest.mark.parametrize("email", ["", None, 5, ["alice@example.com"], "alice@example.co", "%", "a" * 500])
def test_any_other_address_links_nothing(user: AbstractBaseUser, caller: Caller, email: Any) -> None:
    assert log_in(caller, email=email).user_id != user.pk
    assert linked() == []


def test_accounts_without_an_address_are_nobodys(user: AbstractBaseUser, caller: Caller) -> None:
    User.objects.update(email="")
    assert log_in(caller, email="").user_id != user.pk


@pytest.mark.requirement("link-by-email")
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [("al\u00edce@example.com", "alice@example.com"), ("ali\u212ae@example.com", "alike@example.com")],
)
def test_addresses_that_only_a_database_takes_for_the_same_do_not_link(caller: Caller, theirs: str, ours: str) -> None:
    account = User.objects.create_user("alice", ours)
    assert log_in(caller, email=theirs).user_id != account.pk


@pytest.mark.requirement("link-by-email")
def test_accounts_that_share_an_address_are_not_linked(user: AbstractBaseUser, caller: Caller) -> None:
    other = User.objects.create_user("alice2", "ALICE@example.com")
    assert log_in(caller).user_id not in (user.pk, other.pk)
    assert linked() == [("refused", "several accounts have the address")]


def test_deactivated_account_neither_links_nor_stands_in_the_way(user: AbstractBaseUser, caller: Caller) -> None:
    User.objects.create_user("old", "alice@example.com", is_active=False)
    assert log_in(caller).user_id == user.pk


@pytest.mark.requirement("link-by-email")
def test_whoever_was_deactivated_gets_no_other_account(user: AbstractBaseUser, caller: Caller) -> None:
    User.objects.filter(pk=user.pk).update(is_active=False)
    with pytest.raises(AccessDenied):
        log_in(caller)
    assert User.objects.count() == 1
    assert not Identity.objects.exists()
    event = Event.objects.get()
    assert (event.kind, event.outcome, event.reason) == ("login", "refused", "the account of the address is inactive")


@pytest.mark.requirement("link-by-email")
@pytest.mark.parametrize("flag", ["is_staff", "is_superuser"])
def test_staff_and_superusers_are_never_linked(
    user: AbstractBaseUser, caller: Caller, settings: LazySettings, flag: str
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": Careless}
    User.objects.update(**{flag: True})
    assert log_in(caller).user_id != user.pk
    assert linked() == [("refused", "the account is of staff")]
    assert Event.objects.get(kind="login.linked").user_id == user.pk


class Careless(Adapter):
    """Lets everybody be linked."""

    def is_linkable(self, user: Any, claims: Any) -> bool:
        return True


@pytest.mark.parametrize("of_a_group", [False, True])
def test_holder_of_a_permission_is_linked_only_if_the_adapter_says_so(
    user: User, caller: Caller, settings: LazySettings, of_a_group: bool
) -> None:
    permission = Permission.objects.get(codename="view_client")
    if of_a_group:
        group = Group.objects.create(name="helpers")
        group.permissions.add(permission)
        user.groups.add(group)
    else:
        user.user_permissions.add(permission)
    assert log_in(caller, sub="first").user_id != user.pk
    assert linked() == [("refused", "refused by the adapter")]
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": Careless}
    assert log_in(caller, sub="second").user_id == user.pk


@pytest.mark.requirement("link-by-email")
def test_account_of_another_identity_at_the_provider_is_not_linked(user: AbstractBaseUser, caller: Caller) -> None:
    assert log_in(caller).user_id == user.pk
    assert log_in(caller, sub="another").user_id != user.pk
    assert log_in(caller, sub="third", issuer="https://other-tenant.example").user_id != user.pk
    assert linked()[1:] == [("refused", "the account has another identity at this provider")] * 2


def test_account_of_an_identity_elsewhere_is_linked(user: AbstractBaseUser, caller: Caller) -> None:
    local_identity(user)
    assert log_in(caller, provider="old").user_id == user.pk
    assert log_in(caller, provider="new").user_id == user.pk


def test_later_logins_are_the_linked_user_whatever_the_address(user: AbstractBaseUser, caller: Caller) -> None:
    log_in(caller)
    assert log_in(caller, email="new@example.com", link_by_email=False).user_id == user.pk


def test_account_that_was_made_staff_meanwhile_is_not_linked(
    user: AbstractBaseUser, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    account = linking.find_account("upstream", CLAIMS, caller=caller)
    User.objects.update(is_staff=True)
    monkeypatch.setattr("mcp_oidc.core.identities.find_account", lambda *args, **kwargs: account)
    assert log_in(caller).user_id != user.pk


@pytest.mark.parametrize("change", [{"is_active": False}, None])
def test_account_that_goes_meanwhile_is_not_linked(
    user: AbstractBaseUser, caller: Caller, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any] | None
) -> None:
    account = linking.find_account("upstream", CLAIMS, caller=caller)
    assert User.objects.update(**change) if change else User.objects.all().delete()
    monkeypatch.setattr("mcp_oidc.core.identities.find_account", lambda *args, **kwargs: account)
    assert log_in(caller).user.get_username() == "jane"


def test_person_whom_another_tab_links_meanwhile_is_not_made_anew(
    user: AbstractBaseUser, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    def find_and_be_overtaken(*args: Any, **kwargs: Any) -> AbstractBaseUser:
        monkeypatch.setattr("mcp_oidc.core.identities.find_account", linking.find_account)
        log_in(caller)
        return user

    monkeypatch.setattr("mcp_oidc.core.identities.find_account", find_and_be_overtaken)
    monkeypatch.setattr(Adapter, "create_user", None)
    assert log_in(caller).user_id == user.pk
    assert linked() == [("allowed", "")]


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("link-by-email")
def test_of_eight_links_at_once_one_wins(user: AbstractBaseUser, caller: Caller) -> None:
    subs = iter([f"person {number}" for number in range(8)])
    identities = in_parallel(lambda: log_in(caller, sub=next(subs)))
    assert [identity.user_id for identity in identities].count(user.pk) == 1
    assert len({identity.user_id for identity in identities}) == 8
    assert [outcome for outcome, _ in linked()].count("allowed") == 1


@pytest.mark.django_db(transaction=True)
def test_eight_first_logins_of_one_person_are_linked_once(user: AbstractBaseUser, caller: Caller) -> None:
    identities = in_parallel(lambda: log_in(caller))
    assert {identity.user_id for identity in identities} == {user.pk}
    assert [outcome for outcome, _ in linked()].count("allowed") == 1
