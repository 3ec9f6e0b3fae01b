"""Our refresh token at the provider ends with the last connection of its user, and no trouble with it ends more."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from io import StringIO
from typing import Any

import pytest
from django.conf import LazySettings
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core import revocation
from mcp_oidc.core.abandoned_tokens import connections_ended, has_abandoned_tokens
from mcp_oidc.core.upstream_tokens import IdpTokens, keep_tokens, read_tokens, take_lease
from mcp_oidc.models import AbstractClient, Connection, Identity, IdpTokenSet
from mcp_oidc.upstream import idp_revocation
from mcp_oidc.upstream.idp_revocation import wait_for_revocations
from mcp_oidc.upstream.provider import Provider, forget_provider
from tests.core.passing import let_pass
from tests.idp import Idp
from tests.server.authorizations import json_of, post_form, redeem, refresh_params
from tests.upstream.browser import Browser, configure_upstream
from tests.upstream.failing import failing

pytestmark = pytest.mark.django_db(transaction=True)

DAY = 24 * 60 * 60


@pytest.fixture
def idp(idp: Idp) -> Idp:
    idp.has_revocation = True
    return idp


@pytest.fixture
def alice(browser: Browser, public_client: AbstractClient, signing_key: object) -> Identity:
    """Somebody with one connection."""
    browser.log_in()
    redeem(browser.client, public_client)
    return Identity.objects.get()


def end(identity: Identity) -> None:
    """End the connections of an identity as an operator does, and wait for what follows."""
    for pk in Connection.objects.filter(identity=identity).values_list("pk", flat=True):
        revocation.revoke_connection(pk, "revoked_by_admin")
    assert wait_for_revocations(30)


def clean_up() -> str:
    out = StringIO()
    call_command("mcp_oidc_cleanup", stdout=out)
    return out.getvalue()


def has_tokens(identity: Identity) -> bool:
    return IdpTokenSet.objects.filter(identity=identity).exists()


@pytest.mark.requirement("idp-revocation")
def test_last_connection_takes_the_refresh_token_along(alice: Identity, idp: Idp) -> None:
    [refresh_token] = idp.refresh_tokens
    end(alice)
    assert idp.requests["revocation"] == 1
    assert idp.forms[-1] == {"token": refresh_token, "token_type_hint": "refresh_token"}
    assert not idp.refresh_tokens
    assert not has_tokens(alice)


@pytest.mark.requirement("idp-revocation")
def test_whatever_ends_it(alice: Identity, idp: Idp, public_client: AbstractClient) -> None:
    revocation.delete_client(public_client)
    assert wait_for_revocations(30)
    assert not idp.refresh_tokens


@pytest.mark.requirement("idp-revocation")
def test_connection_that_is_left_keeps_it(
    alice: Identity, browser: Browser, idp: Idp, public_client: AbstractClient
) -> None:
    first = Connection.objects.get()
    second = redeem(browser.client, public_client)
    revocation.revoke_connection(first.pk, "revoked_by_admin")
    assert wait_for_revocations(30)
    assert idp.requests["revocation"] == 0
    assert has_tokens(alice)
    post_form("/token/revocation", {"client_id": public_client.client_id, "token": second["refresh_token"]})
    assert wait_for_revocations(30)
    assert idp.requests["revocation"] == 1


@pytest.mark.requirement("idp-revocation")
def test_deleted_user_leaves_no_refresh_token(alice: Identity, idp: Idp) -> None:
    alice.user.delete()
    assert wait_for_revocations(30)
    assert not idp.refresh_tokens


def test_refresh_token_of_a_deleted_user_goes_to_no_other_provider(
    alice: Identity, idp: Idp, settings: LazySettings
) -> None:
    configure_upstream(settings, {**idp.upstream, "NAME": "another"})
    alice.user.delete()
    assert wait_for_revocations(30)
    assert idp.requests["revocation"] == 0


def test_deleted_user_whose_tokens_nobody_can_read_is_deleted(alice: Identity, idp: Idp) -> None:
    IdpTokenSet.objects.update(payload="nothing that any key opens")
    alice.user.delete()
    assert not Identity.objects.exists()
    assert wait_for_revocations(30)
    assert idp.requests["revocation"] == 0


@pytest.mark.requirement("idp-revocation")
def test_login_that_has_not_approved_anything_yet_keeps_its_tokens(
    alice: Identity, browser: Browser, idp: Idp, public_client: AbstractClient
) -> None:
    browser.log_in()
    end(alice)
    assert idp.requests["revocation"] == 0
    redeem(browser.client, public_client)
    assert idp.refresh_tokens[read_tokens(alice.pk).tokens.refresh_token or ""]
    end(alice)
    assert idp.requests["revocation"] == 1


@pytest.mark.requirement("idp-revocation")
def test_login_meanwhile_keeps_its_own_tokens(alice: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    newer = IdpTokens("of the login", refresh_token="of the login")
    meet(monkeypatch, lambda: keep_tokens(alice, newer))
    end(alice)
    assert read_tokens(alice.pk).tokens == newer


def test_login_meanwhile_does_not_keep_the_refresh_token_that_has_ended(
    alice: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = IdpTokens("of the login")
    meet(monkeypatch, lambda: keep_tokens(alice, newer))
    end(alice)
    assert read_tokens(alice.pk).tokens == newer


@pytest.mark.requirement("revalidation")
def test_app_that_is_approved_while_the_tokens_are_dropped_needs_a_login(
    alice: Identity,
    browser: Browser,
    idp: Idp,
    public_client: AbstractClient,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    approved: list[dict[str, Any]] = []
    meet(monkeypatch, lambda: approved.append(redeem(browser.client, public_client)))
    end(alice)
    assert not has_tokens(alice)
    # Else nobody would notice when the provider disables her.
    refused = post_form("/token", refresh_params(public_client, approved[0]))
    assert json_of(refused, 400)["error"] == "invalid_grant"
    browser.log_in()
    json_of(post_form("/token", refresh_params(public_client, approved[0])), 200)


def meet(monkeypatch: pytest.MonkeyPatch, do: Callable[[], object]) -> None:
    """Let something happen while the provider is being told."""
    revoke = Provider.revoke

    def revoke_meanwhile(provider: Provider, refresh_token: str) -> None:
        do()
        revoke(provider, refresh_token)

    monkeypatch.setattr(Provider, "revoke", revoke_meanwhile)


def test_refresh_under_way_is_left_alone(alice: Identity, idp: Idp) -> None:
    take_lease(read_tokens(alice.pk))
    end(alice)
    assert idp.requests["revocation"] == 0
    assert has_tokens(alice)


@pytest.mark.parametrize("change", [{"has_revocation": False}, {"has_refresh_tokens": False}])
def test_tokens_go_where_there_is_nothing_to_revoke(
    browser: Browser, idp: Idp, public_client: AbstractClient, signing_key: object, change: dict[str, Any]
) -> None:
    vars(idp).update(change)
    forget_provider()
    browser.log_in()
    redeem(browser.client, public_client)
    alice = Identity.objects.get()
    end(alice)
    assert idp.requests["revocation"] == 0
    assert not has_tokens(alice)


def test_refused_tokens_are_not_revoked_as_well(alice: Identity, idp: Idp) -> None:
    IdpTokenSet.objects.all().delete()
    revocation.revoke_identity(alice.pk, "idp_refused")
    assert wait_for_revocations(30)
    assert not idp.requests["revocation"]


@pytest.mark.requirement("idp-revocation")
@pytest.mark.parametrize("fault", [500, "redirect", "hang", "close"])
def test_cleanup_makes_up_for_what_the_provider_did_not_take(
    alice: Identity, idp: Idp, caplog: pytest.LogCaptureFixture, fault: int | str
) -> None:
    [refresh_token] = idp.refresh_tokens
    with failing(idp, "revocation", fault):
        end(alice)
        assert Connection.objects.get().revoked_reason == "revoked_by_admin"
        assert "Revoked 0 IdP token sets." in clean_up()
        assert has_tokens(alice)
    assert "Revoked 1 IdP token sets." in clean_up()
    assert not idp.refresh_tokens
    assert not has_tokens(alice)
    assert "Revoked 0 IdP token sets." in clean_up()
    assert refresh_token not in caplog.text


def test_provider_that_says_no_is_not_asked_for_ever(alice: Identity, idp: Idp) -> None:
    idp.refuses_revocation = "unsupported_token_type"
    end(alice)
    assert idp.requests["revocation"] == 1
    assert not has_tokens(alice)


@pytest.mark.requirement("idp-revocation")
@pytest.mark.parametrize("code", ["invalid_client", "access_denied"])
def test_no_tokens_are_dropped_while_the_provider_does_not_take_our_secret(idp: Idp, code: str) -> None:
    for sub in ("alice", "bob"):
        Browser(idp).log_in(sub)
    let_pass(2 * DAY, *Identity.objects.all())
    ours, idp.client_secret, idp.refuses_clients = idp.client_secret, "another", code
    assert "Revoked 0 IdP token sets." in clean_up()
    # It was not asked about bob: a provider may lock out a client that guesses.
    assert idp.requests["revocation"] == 1
    idp.client_secret = ours
    assert "Revoked 2 IdP token sets." in clean_up()
    assert not idp.refresh_tokens


@pytest.mark.parametrize("code", ["invalid_client", "unauthorized_client"])
def test_refusal_of_us_is_not_one_of_the_token_whatever_its_status(alice: Identity, idp: Idp, code: str) -> None:
    idp.refuses_revocation = code
    end(alice)
    assert has_tokens(alice)
    idp.refuses_revocation = ""
    assert "Revoked 1 IdP token sets." in clean_up()


def test_trouble_of_our_own_breaks_no_revocation(
    alice: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(identity_id: int) -> bool:
        raise RuntimeError("out of order")

    with monkeypatch.context() as patch:
        patch.setattr(idp_revocation, "has_abandoned_tokens", fail)
        end(alice)
    assert "out of order" in caplog.text
    assert "Revoked 1 IdP token sets." in clean_up()


@pytest.mark.requirement("idp-revocation")
def test_cleanup_sees_connections_that_have_expired(alice: Identity, idp: Idp) -> None:
    assert "Revoked 0 IdP token sets." in clean_up()
    let_pass(31 * DAY, Connection.objects.get(), Identity.objects.get())
    assert "Revoked 1 IdP token sets." in clean_up()
    assert not idp.refresh_tokens


def test_cleanup_leaves_a_login_of_today_alone_and_one_of_yesterday_not(browser: Browser, idp: Idp) -> None:
    browser.log_in()
    alice = Identity.objects.get()
    let_pass(DAY - 60, alice)
    assert "Revoked 0 IdP token sets." in clean_up()
    let_pass(120, alice)
    assert "Revoked 1 IdP token sets." in clean_up()


def test_cleanup_goes_past_what_it_cannot_revoke(browser: Browser, idp: Idp, monkeypatch: pytest.MonkeyPatch) -> None:
    for sub in ("alice", "bob"):
        Browser(idp).log_in(sub)
    monkeypatch.setattr("mcp_oidc.core.abandoned_tokens.BATCH_SIZE", 1)
    let_pass(2 * DAY, *Identity.objects.all())
    IdpTokenSet.objects.filter(identity__sub="alice").update(payload="nothing that any key opens")
    assert "Revoked 1 IdP token sets." in clean_up()
    assert IdpTokenSet.objects.get().identity.sub == "alice"


def test_without_a_provider_nothing_is_revoked(alice: Identity, idp: Idp, settings: LazySettings) -> None:
    configure_upstream(settings, {})
    end(alice)
    assert "Revoked 0 IdP token sets." in clean_up()
    assert has_tokens(alice)


def test_those_who_wait_are_called_off_when_the_provider_does_not_answer(
    alice: Identity, idp: Idp, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    asked: list[int] = []

    def end_thousands() -> None:
        # As by a block of a client.
        connections_ended.send(sender=Connection, identity_ids=set(range(-1000, 0)))

    def look(identity_id: int) -> bool:
        asked.append(identity_id)
        return has_abandoned_tokens(identity_id)

    meet(monkeypatch, end_thousands)
    monkeypatch.setattr(idp_revocation, "has_abandoned_tokens", look)
    idp.faults = {"revocation": 500}
    end(alice)
    assert asked == [alice.pk]
    assert caplog.text.count("could not be revoked") == 1


def test_many_endings_of_one_user_are_one_revocation_and_no_query_of_whoever_ends_them(
    alice: Identity, idp: Idp, public_client: AbstractClient, settings: LazySettings
) -> None:
    row = Connection.objects.get()
    values = {field.attname: getattr(row, field.attname) for field in Connection._meta.concrete_fields}
    Connection.objects.bulk_create(Connection(**{**values, "id": uuid.uuid4()}) for _ in range(600))
    with_provider = queries_of_revoking(public_client)
    assert idp.requests["revocation"] == 1
    Connection.objects.update(revoked_at=None)
    configure_upstream(settings, {})
    assert with_provider == queries_of_revoking(public_client)


def queries_of_revoking(client: AbstractClient) -> int:
    with CaptureQueriesContext(connection) as queries:
        assert revocation.revoke_client(client, "revoked_by_admin") == 601
    assert wait_for_revocations(30)
    return len(queries)
