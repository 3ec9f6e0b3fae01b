"""Trust, and new secrets: what an operator gives to a client, and nothing that undoes what another one took away."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlencode

import pytest
from django.test import Client as Browser

from mcp_oidc.core import clients
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.client_documents import keep_document
from mcp_oidc.core.clients import Registration, find_client, is_trusted
from mcp_oidc.core.encryption import is_secret
from mcp_oidc.core.trust import trust_client
from mcp_oidc.models import AbstractClient, Client, Connection, Event
from tests.admin.pages import add_url, ask, decide, page_url, text_of
from tests.admin.test_clients import secret_on, typed
from tests.core.test_client_documents import document_at
from tests.factories import Opened
from tests.server.authorizations import FORM


@pytest.fixture
def manual(admin_browser: Browser) -> tuple[AbstractClient, str]:
    """A client that an operator added, and its secret."""
    page = admin_browser.post(add_url(Client), typed(token_endpoint_auth_method="client_secret_post"))
    return Client.objects.get(registration_source="manual"), secret_on(text_of(page))


def is_accepted(client: AbstractClient, secret: str) -> bool:
    """Whether the token endpoint takes the secret: then it complains of something else."""
    form = {"grant_type": "authorization_code", "code": "x", "client_id": client.client_id, "client_secret": secret}
    answer = Browser().post("/token", urlencode(form), content_type=FORM)
    assert answer.status_code in (400, 401)
    return answer.status_code == 400


@pytest.mark.requirement("admin-trust")
def test_trusted_client_is_vouched_for_until_it_is_no_longer(admin_browser: Browser, opened: Opened) -> None:
    page = text_of(ask(admin_browser, "trust_it", opened.client))
    assert "Users who are connected now, and stay so: 1" in page
    decide(admin_browser, "trust_it", opened.client)
    assert is_trusted(Client.objects.get())
    decide(admin_browser, "distrust", opened.client)
    assert not is_trusted(Client.objects.get())
    assert not Connection.objects.exclude(revoked_at=None).exists()
    operator = admin_browser.session["_auth_user_id"]
    events = Event.objects.filter(kind__in=["client.trusted", "client.distrusted"]).order_by("pk")
    assert [event.detail["operator"] for event in events] == [operator] * 2


@pytest.mark.requirement("admin-trust")
@pytest.mark.parametrize("taken", ["block", "delete"])
def test_trust_undoes_neither_block_nor_deletion(
    admin_browser: Browser, public_client: AbstractClient, caller: Caller, taken: str
) -> None:
    stale = Client.objects.get()
    decide(admin_browser, taken, public_client)
    assert not trust_client(stale, caller=caller)
    decide(admin_browser, "trust_it", public_client)
    assert find_client(public_client.client_id) is None
    assert not Event.objects.filter(kind="client.trusted").exists()


@pytest.mark.requirement("client-host-block")
def test_blocked_client_stays_so_when_its_document_is_read_again(admin_browser: Browser, caller: Caller) -> None:
    client = keep_document(document_at(), max_age=60, caller=caller)
    assert client is not None
    decide(admin_browser, "block", client)
    assert keep_document(document_at(client_name="Another name"), max_age=60, caller=caller) is None
    assert find_client(client.client_id) is None


@pytest.mark.requirement("admin-secret-replaced")
def test_new_secret_takes_the_place_of_the_old_one_and_is_shown_once(
    admin_browser: Browser, manual: tuple[AbstractClient, str]
) -> None:
    client, old = manual
    assert "The old secret is refused at once" in text_of(ask(admin_browser, "replace_secret", client))
    assert is_accepted(client, old)
    response = decide(admin_browser, "replace_secret", client)
    new = secret_on(text_of(response))
    assert (is_accepted(client, old), is_accepted(client, new)) == (False, True)
    assert is_secret(new, Client.objects.get().client_secret)
    assert "no-store" in response["Cache-Control"]
    assert new not in str(response.cookies) + str(dict(admin_browser.session))
    assert new not in text_of(admin_browser.get(page_url(client)))
    event = Event.objects.get(kind="client.secret_replaced")
    assert event.detail == {"operator": admin_browser.session["_auth_user_id"]}


@pytest.mark.requirement("admin-secret-replaced")
def test_only_a_client_of_ours_with_a_secret_gets_a_new_one(
    admin_browser: Browser, confidential_client: Registration, manual: tuple[AbstractClient, str]
) -> None:
    admin_browser.post(add_url(Client), typed(name="Public"))
    hashes = dict(Client.objects.values_list("pk", "client_secret"))
    for row in Client.objects.exclude(pk=manual[0].pk):
        assert 'value="New secret"' not in text_of(admin_browser.get(page_url(row)))
        assert "No secret was made." in text_of(decide(admin_browser, "replace_secret", row))
    assert clients.replace_secret(confidential_client.client, caller=Caller()) is None
    assert dict(Client.objects.values_list("pk", "client_secret")) == hashes
    assert 'value="New secret"' in text_of(admin_browser.get(page_url(manual[0])))


@pytest.mark.parametrize(("permission", "is_given"), [("revoke_client", False), ("change_client", True)])
def test_what_gives_needs_the_change_permission(
    staff_browser: Callable[..., Browser], public_client: AbstractClient, permission: str, is_given: bool
) -> None:
    decide(staff_browser(permission), "trust_it", public_client)
    assert is_trusted(Client.objects.get()) is is_given
