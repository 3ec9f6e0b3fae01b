"""Every way in which access is taken away: by whom, whose it is, and what their clients are told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.contrib.auth.base_user import AbstractBaseUser
from django.http import HttpResponse
from django.test import Client as Browser

from mcp_oidc.core.clients import find_client
from mcp_oidc.models import ClientHost, Connection, Consent
from tests.admin.pages import add_url, decide
from tests.journeys.simulation.devices import Device
from tests.journeys.simulation.habits import MINUTE, WEB_APP
from tests.journeys.simulation.world import World
from tests.resource.forgery import claims_of
from tests.server.authorizations import form_of
from tests.server.registrations import manage
from tests.upstream.browser import Browser as LoginBrowser

_APPS = "/oauth/connections"
INVALID_GRANT = (400, "invalid_grant")
INVALID_CLIENT = (401, "invalid_client")


@dataclass(frozen=True)
class Scene:
    """Who takes part: an operator at the admin, and somebody's client."""

    world: World
    operator: Browser
    victim: Device

    @property
    def connection(self) -> Connection:
        return Connection.objects.get(pk=claims_of(self.victim.tokens.access_token)["sid"])

    @property
    def client(self) -> Any:
        return find_client(self.victim.credentials.client_id)

    @property
    def user(self) -> AbstractBaseUser:
        user = self.connection.user
        assert user is not None
        return user


Relation = Callable[[Device, Device], bool]


def itself(victim: Device, other: Device) -> bool:
    return other is victim


def same_client(victim: Device, other: Device) -> bool:
    return other.credentials.client_id == victim.credentials.client_id


def same_user(victim: Device, other: Device) -> bool:
    return other.user == victim.user


def same_user_and_client(victim: Device, other: Device) -> bool:
    return same_user(victim, other) and same_client(victim, other)


def anybody(device: Device) -> bool:
    return True


def has_registered(device: Device) -> bool:
    return not device.habit.document


def has_document(device: Device) -> bool:
    return bool(device.habit.document)


def has_lasting_consent(device: Device) -> bool:
    return device.habit.redirect_uri == WEB_APP


@dataclass(frozen=True)
class Revocation:
    """One way: whose access `ends` with the victim's, what their refreshes are told, and which clients it `fits`."""

    name: str
    revoke: Callable[[Scene], object]
    ends: Relation = itself
    refusal: tuple[int, str] = INVALID_GRANT
    fits: Callable[[Device], bool] = anybody


def disconnect(scene: Scene) -> None:
    _press_at_connected_apps(scene, {"app": scene.victim.credentials.client_id})


def disconnect_everything(scene: Scene) -> None:
    _press_at_connected_apps(scene, {"everything": "yes"})


def revoke_refresh_token(scene: Scene) -> None:
    require(scene.victim.send("/token/revocation", {"token": scene.victim.tokens.refresh_token}), 200)


def revoke_access_token(scene: Scene) -> None:
    require(scene.victim.send("/token/revocation", {"token": scene.victim.tokens.access_token}), 200)


def unregister(scene: Scene) -> None:
    require(manage("DELETE", scene.victim.credentials.registration), 204)


def use_code_again(scene: Scene) -> None:
    require(scene.victim.send("/token", scene.victim.code_request), 400)


def replay_refresh_token(scene: Scene) -> None:
    # A thief had it all along, and the client has moved on, not just now.
    scene.victim.renew()
    scene.victim.renew()
    require(scene.victim.call(), 200)
    scene.world.let_pass(2 * MINUTE)
    require(scene.victim.present(scene.victim.first_refresh_token), 400)


def withdraw_consent(scene: Scene) -> None:
    consent = Consent.objects.get(user=scene.user, client=scene.client)
    require(decide(scene.operator, "withdraw", consent), 302)


def revoke_connection(scene: Scene) -> None:
    require(decide(scene.operator, "revoke", scene.connection), 302)


def revoke_client(scene: Scene) -> None:
    require(decide(scene.operator, "revoke_access", scene.client), 302)


def block_client(scene: Scene) -> None:
    require(decide(scene.operator, "block", scene.client), 302)


def delete_client(scene: Scene) -> None:
    require(decide(scene.operator, "delete", scene.client), 302)


def block_host(scene: Scene) -> None:
    rule = {"host": scene.client.host, "trust": "blocked", "note": "phishing"}
    require(scene.operator.post(add_url(ClientHost), rule), 302)


def deactivate_user(scene: Scene) -> None:
    user: Any = scene.user
    user.is_active = False
    user.save()


def deactivate_user_in_the_database(scene: Scene) -> None:
    # As by a bulk update, of which nobody hears.
    type(scene.user)._default_manager.filter(pk=scene.user.pk).update(is_active=False)


def delete_user(scene: Scene) -> None:
    scene.user.delete()


def end_session_at_the_provider(scene: Scene) -> None:
    # Its tokens last for half an hour. It tells when they are to be refreshed.
    scene.world.let_pass(31 * MINUTE)
    scene.world.idp.refuses_refresh = "invalid_grant"
    require(scene.victim.call("/mcp/profile"), 401)
    scene.world.idp.refuses_refresh = ""


def _press_at_connected_apps(scene: Scene, button: dict[str, str]) -> None:
    # The session of the first day is over by then.
    browser = LoginBrowser(scene.world.idp)
    page = browser.come_back(require(browser.log_in(scene.victim.user, next_url=_APPS), 302).headers["Location"])
    require(browser.client.post(_APPS, {**form_of(page), **button}), 302)


def require(answer: HttpResponse, status: int) -> HttpResponse:
    """The answer, with the status that it should have."""
    assert answer.status_code == status, answer.content
    return answer


REVOCATIONS = (
    Revocation("a user disconnects an app", disconnect, same_user_and_client),
    Revocation("a user disconnects all apps", disconnect_everything, same_user),
    Revocation("a client revokes its refresh token", revoke_refresh_token),
    Revocation("a client revokes its access token", revoke_access_token),
    Revocation("a client deletes its registration", unregister, same_client, INVALID_CLIENT, has_registered),
    Revocation("a code is used again", use_code_again),
    Revocation("an old refresh token is replayed", replay_refresh_token),
    Revocation("an admin revokes a connection", revoke_connection),
    Revocation("an admin deletes a consent", withdraw_consent, same_user_and_client, fits=has_lasting_consent),
    Revocation("an admin revokes all access of a client", revoke_client, same_client),
    Revocation("an admin blocks a client", block_client, same_client, INVALID_CLIENT, has_registered),
    Revocation("an admin deletes a client", delete_client, same_client, INVALID_CLIENT, has_registered),
    Revocation("an admin blocks a host", block_host, same_client, INVALID_CLIENT, has_document),
    Revocation("a user is deactivated", deactivate_user, same_user),
    Revocation("a user is deactivated in the database", deactivate_user_in_the_database, same_user),
    Revocation("a user is deleted", delete_user, same_user),
    Revocation("the provider ends a session", end_session_at_the_provider, same_user),
)
