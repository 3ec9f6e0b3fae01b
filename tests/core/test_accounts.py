"""What of a user follows the claims of later logins, and what the adapter does with it."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group, User

from mcp_oidc.adapter import Adapter
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.identities import sign_in
from mcp_oidc.errors import AccessDenied, TemporarilyUnavailable
from mcp_oidc.models import Event, Identity

pytestmark = pytest.mark.django_db

BEFORE = {
    "sub": "1",
    "preferred_username": "jane",
    "given_name": "Jane",
    "family_name": "Doe",
    "email": "jane@example.com",
    "email_verified": True,
}
AFTER = {
    **BEFORE,
    "preferred_username": "janet",
    "given_name": "Janet",
    "family_name": "Roe",
    "email": "janet@example.com",
}


def log_in(caller: Caller, claims: dict[str, Any], *, update_user: bool = True) -> User:
    identity = sign_in("upstream", "https://idp.example", claims, caller=caller, update_user=update_user)
    return User.objects.get(pk=identity.user_id)


def names(user: User) -> tuple[str, ...]:
    return user.username, user.first_name, user.last_name, user.email


def last_detail() -> dict[str, Any]:
    detail: dict[str, Any] = Event.objects.filter(kind="login").latest("pk").detail
    return detail


@pytest.mark.requirement("user-follows-claims")
@pytest.mark.parametrize("update_user", [False, True])
def test_user_follows_the_claims_of_later_logins_if_told_to(caller: Caller, update_user: bool) -> None:
    log_in(caller, BEFORE)
    user = log_in(caller, AFTER, update_user=update_user)
    followed = ("janet", "Janet", "Roe", "janet@example.com")
    assert names(user) == (followed if update_user else ("jane", "Jane", "Doe", "jane@example.com"))
    assert last_detail() == {"provider": "upstream"}


@pytest.mark.parametrize(
    "claims",
    [
        {"sub": "1"},
        {"sub": "1", "preferred_username": "", "given_name": None, "family_name": "", "email": "", "email_verified": 1},
        {**BEFORE, "email": "other@example.com", "email_verified": False},
        {**BEFORE, "email": "x" * 300 + "@example.com"},
    ],
)
def test_what_claims_leave_out_or_do_not_prove_stays(caller: Caller, claims: dict[str, Any]) -> None:
    log_in(caller, BEFORE)
    assert names(log_in(caller, claims)) == ("jane", "Jane", "Doe", "jane@example.com")


@pytest.mark.requirement("user-never-collides")
def test_name_and_address_of_another_user_stay_theirs_and_the_login_goes_on(
    user: AbstractBaseUser, caller: Caller, caplog: pytest.LogCaptureFixture
) -> None:
    log_in(caller, BEFORE)
    caplog.set_level("INFO")
    changed = log_in(caller, {**AFTER, "preferred_username": "ALICE", "email": "Alice@example.com"})
    assert names(changed) == ("jane", "Janet", "Roe", "jane@example.com")
    assert last_detail() == {"provider": "upstream", "taken": ["email", "username"]}
    assert "email and username of user" in caplog.text
    assert "Alice@example.com" not in caplog.text


@pytest.mark.requirement("user-never-collides")
def test_name_that_somebody_takes_between_the_look_and_the_update_stays_theirs(
    user: AbstractBaseUser, caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(caller, BEFORE)
    monkeypatch.setattr("mcp_oidc.core.accounts.is_taken", lambda *args, **kwargs: False)
    changed = log_in(caller, {**AFTER, "preferred_username": "alice"})
    assert names(changed) == ("jane", "Janet", "Roe", "janet@example.com")
    assert last_detail()["taken"] == ["username"]


class Saving(Adapter):
    """Saves all of the user, and not only what it changes."""

    def update_user(self, user: Any, claims: Any) -> None:
        user.save()


def test_name_that_was_not_given_is_not_left_with_the_user(
    user: AbstractBaseUser, caller: Caller, monkeypatch: pytest.MonkeyPatch, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": Saving}
    log_in(caller, BEFORE)
    monkeypatch.setattr("mcp_oidc.core.accounts.is_taken", lambda *args, **kwargs: False)
    assert log_in(caller, {**BEFORE, "preferred_username": "alice"}).username == "jane"


def test_own_name_in_other_letters_is_not_taken(caller: Caller) -> None:
    log_in(caller, BEFORE)
    assert log_in(caller, {**BEFORE, "preferred_username": "Jane", "email": "Jane@example.com"}).username == "Jane"


def test_random_name_of_a_user_without_one_stays(caller: Caller) -> None:
    first = log_in(caller, {"sub": "1"})
    assert log_in(caller, {"sub": "1"}).username == first.username


def test_name_that_is_too_long_for_its_column_is_cut(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(caller, BEFORE)
    monkeypatch.setattr(User._meta.get_field("username"), "max_length", 20)
    assert log_in(caller, {**BEFORE, "preferred_username": "x" * 99}).username == "x" * 20


class Staffing(Adapter):
    """Groups and flags from the claim `groups`."""

    def update_user(self, user: Any, claims: Any) -> None:
        groups = claims.get("groups", [])
        user.groups.set(Group.objects.filter(name__in=groups))
        user.is_staff, user.is_active = "staff" in groups, "gone" not in groups
        user.save(update_fields=["is_staff", "is_active"])
        if "nobody" in groups:
            raise AccessDenied("Not in this group.", log="group nobody")


@pytest.fixture
def _staffing(settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ADAPTER": Staffing}


@pytest.mark.requirement("flags-by-adapter")
@pytest.mark.parametrize("update_user", [False, True])
def test_claims_give_no_flags_and_no_groups(caller: Caller, update_user: bool) -> None:
    Group.objects.create(name="staff")
    claims = {**BEFORE, "groups": ["staff"], "is_staff": True, "is_superuser": True, "roles": ["admin"]}
    for _ in range(2):
        user = log_in(caller, claims, update_user=update_user)
        assert (user.is_staff, user.is_superuser, user.groups.count()) == (False, False, 0)


@pytest.mark.requirement("flags-by-adapter")
@pytest.mark.usefixtures("_staffing")
def test_adapter_gives_and_takes_groups_and_flags_at_each_login(caller: Caller) -> None:
    Group.objects.create(name="staff")
    user = log_in(caller, {**BEFORE, "groups": ["staff"]}, update_user=False)
    assert user.is_staff
    assert [group.name for group in user.groups.all()] == ["staff"]
    user = log_in(caller, {**BEFORE, "groups": []}, update_user=False)
    assert not user.is_staff
    assert not user.groups.exists()


@pytest.mark.usefixtures("_staffing")
def test_user_whom_the_adapter_deactivates_is_refused_and_stays_deactivated(caller: Caller) -> None:
    log_in(caller, BEFORE)
    for groups in (["gone"], []):
        # Nor does the adapter bring back whom somebody has deactivated.
        with pytest.raises(AccessDenied, match="user inactive"):
            log_in(caller, {**BEFORE, "groups": groups})
        assert not User.objects.get().is_active
    assert "groups" not in Identity.objects.get().claims
    reasons = Event.objects.filter(kind="login", outcome="refused").values_list("reason", "user_id")
    assert list(reasons) == [("user inactive", User.objects.get().pk)] * 2


@pytest.mark.usefixtures("_staffing")
def test_adapter_that_refuses_while_it_updates_changes_nothing(caller: Caller) -> None:
    log_in(caller, BEFORE)
    with pytest.raises(AccessDenied, match="group nobody"):
        log_in(caller, {**AFTER, "groups": ["staff", "nobody"]})
    user = User.objects.get()
    assert names(user) == ("jane", "Jane", "Doe", "jane@example.com")
    assert not user.is_staff
    event = Event.objects.get(kind="login", outcome="refused")
    assert (event.reason, event.user_id) == ("group nobody", user.pk)


def test_flags_that_an_operator_has_just_set_are_not_written_over(
    caller: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_in(caller, BEFORE)
    identity = Identity.objects.select_related("user").get()
    User.objects.update(is_active=False)
    monkeypatch.setattr("mcp_oidc.core.identities._find", lambda *args: identity)
    with pytest.raises(AccessDenied, match="user inactive"):
        log_in(caller, AFTER)
    assert names(User.objects.get()) == ("jane", "Jane", "Doe", "jane@example.com")


def test_user_who_is_deleted_meanwhile_may_try_again(caller: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    log_in(caller, BEFORE)
    identity = Identity.objects.select_related("user").get()
    User.objects.all().delete()
    with monkeypatch.context() as patch:
        patch.setattr("mcp_oidc.core.identities._find", lambda *args: identity)
        with pytest.raises(TemporarilyUnavailable):
            log_in(caller, AFTER)
    assert log_in(caller, AFTER).username == "janet"
