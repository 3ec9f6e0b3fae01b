"""Users who are deactivated or deleted: heard of in every way that Django tells, at next to no cost for all others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.contrib.auth.models import Group, User
from django.core import serializers
from django.core.management import call_command
from django.db import connection as database
from django.db import transaction
from django.db.models import Model
from django.db.models.signals import post_save, pre_delete
from django.test.utils import CaptureQueriesContext, isolate_apps

from mcp_oidc import signals
from mcp_oidc.core import users
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.consents import remember_consent
from mcp_oidc.core.identities import local_identity
from mcp_oidc.models import Connection, Consent, Event, Identity
from tests.factories import REDIRECT_URI, RESOURCE, Opened, open_for

pytestmark = pytest.mark.django_db


@pytest.fixture
def bystander(opened: Opened, caller: Caller) -> Opened:
    """Another user of the same client."""
    return open_for(opened.client, local_identity(get_user_model().objects.create_user("bob")), caller=caller)


@pytest.fixture
def approved(opened: Opened, bystander: Opened) -> None:
    """Both have approvals that are remembered."""
    for each in (opened, bystander):
        user = each.connection.user
        assert user is not None
        remember_consent(user, each.client, redirect_uri=REDIRECT_URI, resource=RESOURCE, scopes=["mcp"])


def living() -> list[Any]:
    return list(Connection.objects.filter(revoked_at=None).values_list("pk", flat=True))


def deactivate(user: AbstractBaseUser) -> None:
    user.is_active = False
    user.save()


@pytest.mark.requirement("user-inactive")
@pytest.mark.parametrize("fields", [None, ["is_active"], ["is_active", "last_login"]])
def test_user_who_is_deactivated_loses_everything(
    opened: Opened, bystander: Opened, approved: None, user: AbstractBaseUser, fields: list[str] | None
) -> None:
    user.is_active = False
    user.save(update_fields=fields)
    assert living() == [bystander.connection.pk]
    assert Connection.objects.get(pk=opened.connection.pk).revoked_reason == "user_inactive"
    assert [consent.user_id for consent in Consent.objects.all()] == [bystander.connection.user_id]
    assert [event.kind for event in Event.objects.filter(reason="user_inactive").order_by("pk")] == [
        "connection.revoked",
        "user.revoked",
    ]


@pytest.mark.requirement("user-inactive")
def test_user_who_is_activated_again_connects_anew(opened: Opened, user: AbstractBaseUser) -> None:
    deactivate(user)
    user.is_active = True
    user.save()
    assert living() == []


@contextmanager
def watching(*models: type[Model]) -> Iterator[None]:
    """As if the project had had these models when it started."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(users.apps, "get_models", lambda: [*models])
        users.watch_users()
    yield
    for model in models:
        post_save.disconnect(sender=model, dispatch_uid="mcp_oidc.note_save")
        pre_delete.disconnect(sender=model, dispatch_uid="mcp_oidc.note_deletion")


@isolate_apps("tests")
def test_proxy_of_the_user_model_is_heard_too(opened: Opened, user: AbstractBaseUser) -> None:
    class Member(User):
        class Meta:
            app_label = "tests"
            proxy = True

    with watching(Member):
        deactivate(Member.objects.get(pk=user.pk))
        assert Connection.objects.get().revoked_reason == "user_inactive"
        Member.objects.get(pk=user.pk).delete()
    assert Event.objects.filter(kind="user.deleted").count() == 1


@isolate_apps("tests")
def test_model_with_a_table_of_its_own_is_told_of_once() -> None:
    class Employee(User):
        class Meta:
            app_label = "tests"

    with watching(Employee):
        assert post_save.has_listeners(Employee)
        # Of a deletion Django tells for the row behind it as well, which is that of the user model.
        assert not pre_delete.has_listeners(Employee)
    assert pre_delete.has_listeners(User)


@pytest.mark.requirement("user-save-cheap")
def test_save_that_deactivates_nobody_costs_nothing(opened: Opened, user: AbstractBaseUser) -> None:
    with CaptureQueriesContext(database) as queries:
        user.save()
        user.save(update_fields=["last_login"])
    assert len(queries) == 2
    user.is_active = False
    with CaptureQueriesContext(database) as queries:
        # Not what is saved, so not what counts.
        user.save(update_fields=["last_login"])
        get_user_model().objects.only("pk").get(pk=user.pk).save()
    assert len([query for query in queries if "mcp_oidc" in query["sql"]]) == 0
    assert living() == [opened.connection.pk]


@pytest.mark.requirement("user-save-cheap")
def test_save_of_somebody_who_is_inactive_already_asks_twice_and_tells_nothing(
    opened: Opened, user: AbstractBaseUser
) -> None:
    deactivate(user)
    told = Event.objects.count()
    with CaptureQueriesContext(database) as queries:
        user.save()
    assert len([query for query in queries if "mcp_oidc" in query["sql"]]) == 2
    assert Event.objects.count() == told


@pytest.mark.requirement("user-save-cheap")
def test_new_user_costs_nothing() -> None:
    with CaptureQueriesContext(database) as queries:
        get_user_model().objects.create_user("carol", is_active=False)
    assert len([query for query in queries if "mcp_oidc" in query["sql"]]) == 0


def test_fixture_that_is_loaded_ends_nothing(opened: Opened, user: AbstractBaseUser, tmp_path: Any) -> None:
    user.is_active = False
    fixture = tmp_path / "users.json"
    fixture.write_text(serializers.serialize("json", [user]))
    call_command("loaddata", str(fixture), stdout=StringIO())
    assert not get_user_model().objects.get(pk=user.pk).is_active
    assert living() == [opened.connection.pk]


class Account:
    """A user of a model without the column."""

    pk = 1
    _meta = Group._meta

    def __init__(self, is_active: bool) -> None:
        self.is_active = is_active


@pytest.mark.parametrize(("active", "fields", "ends"), [(True, None, 0), (False, None, 1), (False, ["status"], 1)])
def test_property_in_the_place_of_the_column_is_asked_at_every_save(
    monkeypatch: pytest.MonkeyPatch, active: bool, fields: list[str] | None, ends: int
) -> None:
    ended: list[Any] = []
    monkeypatch.setattr(users, "revoke_user", lambda user, reason: ended.append(user))
    post_save.connect(users._note_save, sender=Account)
    post_save.send(Account, instance=Account(active), created=False, raw=False, update_fields=fields)
    post_save.disconnect(users._note_save, sender=Account)
    assert len(ended) == ends


@pytest.fixture(params=["instance", "queryset", "manager"])
def delete(request: pytest.FixtureRequest) -> Callable[[AbstractBaseUser], object]:
    """Each way in which code deletes a user."""
    everybody = get_user_model().objects
    ways: dict[str, Callable[[AbstractBaseUser], object]] = {
        "instance": lambda user: user.delete(),
        "queryset": lambda user: everybody.filter(pk=user.pk).delete(),
        "manager": lambda user: everybody.only("pk").get(pk=user.pk).delete(),
    }
    return ways[str(request.param)]


@pytest.mark.requirement("user-deleted")
def test_events_of_a_deleted_user_keep_the_subject_and_nothing_of_the_person(
    opened: Opened,
    bystander: Opened,
    approved: None,
    identity: Identity,
    user: AbstractBaseUser,
    delete: Callable[[AbstractBaseUser], object],
) -> None:
    Event.objects.all().delete()
    delete(user)
    assert list(Connection.objects.all()) == [bystander.connection]
    assert Consent.objects.count() == 1
    events = list(Event.objects.order_by("pk"))
    assert [(event.kind, event.reason, event.connection_id) for event in events] == [
        ("connection.revoked", "user_deleted", opened.connection.pk),
        ("user.deleted", "", None),
    ]
    assert {event.subject for event in events} == {str(identity.subject)}
    kept = str(list(Event.objects.values()))
    assert [event.user_id for event in events] == [None, None]
    assert "alice" not in kept


@pytest.mark.requirement("user-deleted")
@pytest.mark.django_db(transaction=True)
def test_deletion_that_fails_ends_nothing(opened: Opened, user: AbstractBaseUser) -> None:
    told = Event.objects.count()

    def refuse(sender: Any, **kwargs: Any) -> None:
        raise RuntimeError("not this one")

    pre_delete.connect(refuse, sender=Identity)
    try:
        with pytest.raises(RuntimeError):
            user.delete()
    finally:
        pre_delete.disconnect(refuse, sender=Identity)
    assert living() == [opened.connection.pk]
    assert Event.objects.count() == told


def test_deleted_user_who_never_connected_leaves_no_trace() -> None:
    get_user_model().objects.create_user("carol").delete()
    assert not Event.objects.exists()


@pytest.mark.requirement("user-deleted")
@pytest.mark.django_db(transaction=True)
def test_signals_of_a_deletion_name_the_user_who_was(opened: Opened, user: AbstractBaseUser) -> None:
    key, heard = user.pk, list[Any]()

    def hear(sender: Any, **kwargs: Any) -> None:
        heard.append((kwargs["connection_id"], kwargs["user_id"], kwargs["reason"]))

    signals.connection_revoked.connect(hear)
    try:
        with transaction.atomic():
            user.delete()
            assert heard == []
    finally:
        signals.connection_revoked.disconnect(hear)
    assert heard == [(opened.connection.pk, key, "user_deleted")]


@pytest.fixture
def crowd(opened: Opened) -> int:
    """How many connections there are: a thousand more than one."""
    first = Connection.objects.get()
    columns = {field.attname: getattr(first, field.attname) for field in Connection._meta.concrete_fields}
    del columns["id"], columns["salt"]
    Connection.objects.bulk_create([Connection(**columns) for _ in range(1000)])
    return 1001


def test_connections_of_a_deleted_user_are_not_loaded_as_a_whole(crowd: int, user: AbstractBaseUser) -> None:
    with CaptureQueriesContext(database) as queries:
        user.delete()
    read = [
        query["sql"] for query in queries if query["sql"].startswith("SELECT") and "oidc_connection" in query["sql"]
    ]
    assert [sql for sql in read if " LIMIT " not in sql and "IN (" not in sql] == []
    assert Event.objects.filter(kind="connection.revoked").count() == crowd
