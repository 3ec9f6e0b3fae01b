"""At refreshes that fall due the provider is asked whether the user still has access. Its outages end nothing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.db import OperationalError, connection
from django.http import HttpResponse
from django.test import Client
from django.test.utils import CaptureQueriesContext

from mcp_oidc.core.sightings import wait_for_sightings
from mcp_oidc.core.upstream_tokens import IdpTokens, StoredTokens, read_tokens, replace_tokens
from mcp_oidc.errors import UpstreamRefused
from mcp_oidc.models import AbstractClient, Connection, Event, Identity, IdpTokenSet
from mcp_oidc.upstream import revalidation
from mcp_oidc.upstream.provider import Provider
from mcp_oidc.upstream.revalidation import wait_for_answers
from tests.core.parallel import in_parallel
from tests.core.passing import let_pass
from tests.idp import Idp
from tests.server.authorizations import json_of, post_form, redeem, refresh_params
from tests.upstream.browser import Browser, configure_upstream
from tests.upstream.failing import failing

pytestmark = pytest.mark.django_db(transaction=True)

Tokens = dict[str, Any]


@pytest.fixture
def user(browser: Browser) -> Identity:
    """Alice, about whom the provider was asked when she logged in."""
    browser.log_in()
    browser.idp.requests.clear()
    return Identity.objects.get()


@pytest.fixture
def tokens(browser: Browser, user: Identity, public_client: AbstractClient, signing_key: object) -> Tokens:
    """What a client holds of alice."""
    return redeem(browser.client, public_client)


@pytest.fixture
def due(tokens: Tokens) -> Tokens:
    """The same, after the provider was not asked for some time."""
    fall_due()
    return tokens


@pytest.fixture
def strict(idp: Idp, settings: LazySettings) -> None:
    configure_upstream(settings, {**idp.upstream, "REVALIDATE_STRICT": True})


class Hang:
    """A provider that does not answer a refresh before it is told to, or at all."""

    def __init__(self) -> None:
        self.has_begun = threading.Event()
        self.may_answer = threading.Event()
        self.refuses = False

    def refresh(self, provider: Provider, refresh_token: str) -> Any:
        self.has_begun.set()
        assert self.may_answer.wait(60)
        if self.refuses:
            raise UpstreamRefused("invalid_grant")
        return _REFRESH(provider, refresh_token)


_REFRESH = Provider.refresh


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hang]:
    hang = Hang()
    monkeypatch.setattr(Provider, "refresh", lambda provider, token: hang.refresh(provider, token))
    monkeypatch.setattr(revalidation, "LENIENT_SECONDS", 0.05)
    yield hang
    hang.may_answer.set()
    assert wait_for_answers(30)


def fall_due() -> None:
    let_pass(301, *IdpTokenSet.objects.all())


def renew(client: AbstractClient, tokens: Tokens) -> HttpResponse:
    return post_form("/token", refresh_params(client, tokens))


def require_renewed(client: AbstractClient, tokens: Tokens) -> Tokens:
    return json_of(renew(client, tokens), 200)


def require_refused(client: AbstractClient, tokens: Tokens) -> None:
    assert json_of(renew(client, tokens), 400)["error"] == "invalid_grant"


@pytest.mark.requirement("revalidation")
def test_provider_is_asked_once_it_was_not_for_some_time(
    public_client: AbstractClient, tokens: Tokens, idp: Idp
) -> None:
    idp.rotates = True
    tokens = require_renewed(public_client, tokens)
    assert idp.requests["token"] == 0
    fall_due()
    tokens = require_renewed(public_client, tokens)
    assert idp.requests["token"] == 1
    assert read_tokens(Identity.objects.get().pk).tokens.refresh_token in idp.refresh_tokens
    require_renewed(public_client, tokens)
    assert idp.requests["token"] == 1


def test_refresh_that_is_not_due_makes_three_queries(public_client: AbstractClient, tokens: Tokens) -> None:
    # What knows keys and settings by heart is another one.
    tokens = require_renewed(public_client, tokens)
    assert wait_for_sightings()
    with CaptureQueriesContext(connection) as queries:
        require_renewed(public_client, tokens)
    assert len(queries) == 3, [query["sql"] for query in queries]


@pytest.mark.requirement("revalidation")
def test_user_who_has_no_access_any_more_loses_every_connection_and_nobody_else_does(
    browser: Browser, public_client: AbstractClient, tokens: Tokens, idp: Idp
) -> None:
    on_another_device = redeem(browser.client, public_client)
    other = Browser(idp)
    other.log_in("bob")
    of_bob = redeem(other.client, public_client)
    fall_due()
    idp.disable("alice")
    require_refused(public_client, tokens)
    require_refused(public_client, on_another_device)
    for held in (tokens, on_another_device):
        assert Client().post("/mcp", headers={"Authorization": f"Bearer {held['access_token']}"}).status_code == 401
    require_renewed(public_client, of_bob)
    events = Event.objects.filter(kind="connection.revoked")
    assert [(event.reason, event.subject) for event in events] == [
        ("idp_refused", str(Identity.objects.get(sub="alice").subject))
    ] * 2


@pytest.mark.parametrize(("after", "asked"), [(0, 2), (None, 0), (600, 0), (200, 1)])
def test_setting_says_when_it_is_due(
    public_client: AbstractClient, tokens: Tokens, idp: Idp, settings: LazySettings, after: int | None, asked: int
) -> None:
    configure_upstream(settings, {**idp.upstream, "REVALIDATE_AFTER": after})
    fall_due()
    for _ in range(2):
        tokens = require_renewed(public_client, tokens)
    assert idp.requests["token"] == asked


@pytest.mark.usefixtures("strict")
def test_provider_without_refresh_tokens_is_not_asked(
    browser: Browser, public_client: AbstractClient, signing_key: object, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Even to put the question would be a 503.
    monkeypatch.setattr(revalidation._questions, "_room", 0)
    idp.has_refresh_tokens = False
    browser.log_in()
    tokens = redeem(browser.client, public_client)
    idp.requests.clear()
    fall_due()
    require_renewed(public_client, tokens)
    assert not idp.requests


@pytest.mark.usefixtures("strict")
def test_user_of_this_project_itself_is_not_asked_about(
    public_client: AbstractClient, signing_key: object, idp: Idp, settings: LazySettings
) -> None:
    upstream = settings.MCP_OIDC["UPSTREAM"]
    configure_upstream(settings, {})
    browser = Client()
    browser.force_login(get_user_model().objects.create_user("carol"))
    tokens = redeem(browser, public_client)
    configure_upstream(settings, {**upstream, "REVALIDATE_AFTER": 0})
    require_renewed(public_client, tokens)
    assert not idp.requests


def test_another_provider_is_not_asked(
    public_client: AbstractClient, due: Tokens, idp: Idp, settings: LazySettings
) -> None:
    configure_upstream(settings, {**idp.upstream, "NAME": "another", "REVALIDATE_STRICT": True})
    require_renewed(public_client, due)
    assert not idp.requests


def test_user_whose_issuer_has_left_the_settings_logs_in_again(
    public_client: AbstractClient, user: Identity, tokens: Tokens, idp: Idp
) -> None:
    Identity.objects.update(issuer="https://elsewhere.example")
    require_refused(public_client, tokens)
    assert not idp.requests
    # Once the setting is right again, whoever has not asked meanwhile has lost nothing.
    Identity.objects.update(issuer=user.issuer)
    require_renewed(public_client, tokens)


@pytest.mark.requirement("revalidation")
def test_user_about_whom_the_provider_can_never_be_asked_again_logs_in_again(
    browser: Browser, public_client: AbstractClient, tokens: Tokens
) -> None:
    IdpTokenSet.objects.all().delete()
    require_refused(public_client, tokens)
    browser.log_in()
    require_renewed(public_client, tokens)


@pytest.mark.parametrize("change", [{"REVALIDATE_AFTER": None}, {"NAME": "another"}])
def test_user_without_tokens_goes_on_where_the_provider_is_not_to_be_asked(
    public_client: AbstractClient, tokens: Tokens, idp: Idp, settings: LazySettings, change: dict[str, Any]
) -> None:
    IdpTokenSet.objects.all().delete()
    configure_upstream(settings, {**idp.upstream, **change})
    require_renewed(public_client, tokens)


def test_tokens_that_cannot_be_decrypted_end_nothing(public_client: AbstractClient, due: Tokens, idp: Idp) -> None:
    IdpTokenSet.objects.update(payload="nothing that any key opens")
    require_renewed(public_client, due)
    assert not idp.requests


@pytest.mark.requirement("revalidation-outage")
@pytest.mark.parametrize("fault", [500, "garbage", "close", "hang"])
def test_outage_ends_nothing_and_the_next_refresh_asks_again(
    public_client: AbstractClient, due: Tokens, idp: Idp, monkeypatch: pytest.MonkeyPatch, fault: int | str
) -> None:
    # Not as the provider counts: whoever gives up on it soon may do so before it has noticed.
    asked: list[str] = []

    def count(provider: Provider, refresh_token: str) -> IdpTokens:
        asked.append(refresh_token)
        return _REFRESH(provider, refresh_token)

    monkeypatch.setattr(Provider, "refresh", count)
    with failing(idp, "token", fault):
        tokens = require_renewed(public_client, due)
        assert len(asked) == 1
        require_renewed(public_client, tokens)
        assert len(asked) == 2
    idp.disable("alice")
    require_refused(public_client, due)


@pytest.mark.requirement("revalidation-outage")
@pytest.mark.parametrize("code", ["invalid_client", "x"])
def test_refusal_that_is_not_about_the_user_ends_nothing(
    public_client: AbstractClient, due: Tokens, idp: Idp, code: str
) -> None:
    idp.refuses_refresh = code
    require_renewed(public_client, due)


@pytest.mark.requirement("revalidation-outage")
@pytest.mark.parametrize("code", ["access_denied", "invalid_client", "invalid_grant"])
def test_secret_that_was_changed_at_the_provider_first_ends_nothing(
    public_client: AbstractClient, due: Tokens, idp: Idp, code: str
) -> None:
    idp.client_secret, idp.refuses_clients = "another", code
    tokens = require_renewed(public_client, due)
    assert idp.requests["token"] == 1
    require_renewed(public_client, tokens)


@pytest.mark.usefixtures("strict")
@pytest.mark.requirement("revalidation-outage")
@pytest.mark.parametrize("fault", [500, "garbage", "close", "hang"])
def test_strict_outage_is_a_503_that_costs_the_client_nothing(
    public_client: AbstractClient, due: Tokens, idp: Idp, fault: int | str
) -> None:
    with failing(idp, "token", fault):
        for _ in range(2):
            answer = renew(public_client, due)
            assert json_of(answer, 503)["error"] == "temporarily_unavailable"
            assert int(answer.headers["Retry-After"]) > 0
    assert Connection.objects.get().generation == 1
    require_renewed(public_client, due)


@pytest.mark.requirement("revalidation-outage")
def test_provider_that_hangs_holds_nobody_up(
    browser: Browser, public_client: AbstractClient, tokens: Tokens, idp: Idp, hang: Hang, monkeypatch: Any
) -> None:
    other = Browser(idp)
    other.log_in("bob")
    of_bob = redeem(other.client, public_client)
    fall_due()
    require_renewed(public_client, tokens)
    # From now on nobody waits, so it may be as long as it likes.
    monkeypatch.setattr(revalidation, "LENIENT_SECONDS", 40)
    began = time.monotonic()
    require_renewed(public_client, of_bob)
    assert time.monotonic() - began < 20
    assert not hang.may_answer.is_set()


@pytest.mark.requirement("revalidation")
def test_what_the_provider_says_late_counts(public_client: AbstractClient, due: Tokens, hang: Hang) -> None:
    hang.refuses = True
    tokens = require_renewed(public_client, due)
    assert hang.has_begun.wait(30)
    hang.may_answer.set()
    assert wait_for_answers(30)
    require_refused(public_client, tokens)
    assert Connection.objects.get().revoked_reason == "idp_refused"


def test_provider_that_answers_again_is_waited_for_again(
    public_client: AbstractClient, due: Tokens, hang: Hang, monkeypatch: Any
) -> None:
    tokens = require_renewed(public_client, due)
    hang.may_answer.set()
    assert wait_for_answers(30)
    monkeypatch.setattr(revalidation, "LENIENT_SECONDS", 40)
    hang.refuses = True
    fall_due()
    hang.may_answer.clear()
    # Well after a refresh that does not wait would be over.
    threading.Timer(1, hang.may_answer.set).start()
    require_refused(public_client, tokens)


def test_strict_refresh_does_not_wait_for_a_provider_that_is_known_to_hang(
    public_client: AbstractClient, due: Tokens, idp: Idp, settings: LazySettings, hang: Hang, monkeypatch: Any
) -> None:
    configure_upstream(settings, {**idp.upstream, "REVALIDATE_STRICT": True, "TIMEOUT": 40})
    monkeypatch.setattr(revalidation._patience, "_answers_in_time", False)
    began = time.monotonic()
    json_of(renew(public_client, due), 503)
    assert time.monotonic() - began < 20
    hang.may_answer.set()
    assert wait_for_answers(30)
    require_renewed(public_client, due)


@pytest.mark.requirement("revalidation")
def test_parallel_refreshes_of_one_user_ask_once(
    browser: Browser, public_client: AbstractClient, tokens: Tokens, idp: Idp
) -> None:
    idp.rotates = True
    held = [tokens, *(redeem(browser.client, public_client) for _ in range(3))]
    fall_due()
    clients = iter(held)
    in_parallel(lambda: require_renewed(public_client, next(clients)), threads=4)
    assert idp.requests["token"] == 1


@pytest.mark.requirement("revalidation")
def test_provider_is_not_asked_again_about_whom_another_process_has_asked_meanwhile(
    public_client: AbstractClient, due: Tokens, idp: Idp, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read_later(identity_id: int) -> StoredTokens:
        replace_tokens(read_tokens(identity_id), IdpTokens("of the other process", refresh_token="rotated"))
        return read_tokens(identity_id)

    monkeypatch.setattr(revalidation, "read_tokens", read_later)
    require_renewed(public_client, due)
    assert idp.requests["token"] == 0


def test_request_that_is_repeated_gets_the_same_answer(public_client: AbstractClient, due: Tokens, idp: Idp) -> None:
    successor = require_renewed(public_client, due)
    assert require_renewed(public_client, due)["refresh_token"] == successor["refresh_token"]
    assert idp.requests["token"] == 1


def _forge(tokens: Tokens, client: AbstractClient) -> Tokens:
    return {"refresh_token": tokens["refresh_token"][:-4] + "AAAA"}


def _revoke(tokens: Tokens, client: AbstractClient) -> Tokens:
    post_form("/token/revocation", {"client_id": client.client_id, "token": tokens["refresh_token"]})
    return tokens


def _supersede(tokens: Tokens, client: AbstractClient) -> Tokens:
    newer = require_renewed(client, require_renewed(client, tokens))
    assert newer
    return tokens


@pytest.mark.requirement("revalidation")
@pytest.mark.parametrize("spoil", [_forge, _revoke, _supersede])
def test_token_that_is_refused_anyway_asks_nobody(
    public_client: AbstractClient, tokens: Tokens, idp: Idp, spoil: Callable[[Tokens, AbstractClient], Tokens]
) -> None:
    presented = spoil(tokens, public_client)
    fall_due()
    require_refused(public_client, presented)
    assert idp.requests["token"] == 0


@pytest.mark.parametrize(("is_strict", "status"), [(False, 200), (True, 503)])
@pytest.mark.parametrize("trouble", [OperationalError, RuntimeError])
def test_trouble_of_our_own_is_like_an_outage(
    public_client: AbstractClient,
    due: Tokens,
    idp: Idp,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    is_strict: bool,
    status: int,
    trouble: type[Exception],
) -> None:
    def fail(identity_id: int) -> None:
        raise trouble

    configure_upstream(settings, {**idp.upstream, "REVALIDATE_STRICT": is_strict})
    with monkeypatch.context() as patch:
        patch.setattr(revalidation, "read_tokens", fail)
        json_of(renew(public_client, due), status)
    idp.disable("alice")
    require_refused(public_client, due)


@pytest.mark.parametrize(("is_strict", "status"), [(False, 200), (True, 503)])
def test_more_than_can_wait_are_not_asked_about(
    public_client: AbstractClient,
    due: Tokens,
    idp: Idp,
    settings: LazySettings,
    monkeypatch: pytest.MonkeyPatch,
    is_strict: bool,
    status: int,
) -> None:
    configure_upstream(settings, {**idp.upstream, "REVALIDATE_STRICT": is_strict})
    monkeypatch.setattr(revalidation._questions, "_room", 0)
    json_of(renew(public_client, due), status)
    assert idp.requests["token"] == 0
