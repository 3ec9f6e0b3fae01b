"""Clients: registered, found, authenticated."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from django.apps import apps
from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from mcp_oidc.conf import app_settings
from mcp_oidc.core import audit
from mcp_oidc.core.clock import Now
from mcp_oidc.core.conflicts import retry_conflicts
from mcp_oidc.core.encryption import hash_secret, is_secret, new_secret
from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.errors import InvalidClient
from mcp_oidc.models import ClientHost
from mcp_oidc.models.clients import CLIENT_MODEL, AbstractClient
from mcp_oidc.protocol.client_authentication import ClientCredentials
from mcp_oidc.protocol.client_metadata import ClientMetadata
from mcp_oidc.protocol.uris import check_redirect_uri, is_redirect_match

if TYPE_CHECKING:
    from django.db.models import QuerySet

UNKNOWN_CLIENT = "The client is unknown, or its credentials are wrong."
# How stale `last_used_at` may be: enough for cleanup, and it spares a write for each refresh.
_USE_PRECISION = timedelta(hours=1)
# What others decide meanwhile, and a change of the metadata must not undo.
_NOT_METADATA = frozenset({"trust", "deleted_at", "last_used_at", "client_secret", "registration_token"})
# What changes at every change.
_UNTOLD = frozenset({"updated", "metadata_digest", "registration_token"})


@dataclass(frozen=True)
class Registration:
    """A client and what is told to it once: a secret, if one was made for it, and the token that it manages itself by
    (RFC 7592), if it registered itself.
    """

    client: AbstractClient
    secret: str | None = field(default=None, repr=False)
    management_token: str | None = field(default=None, repr=False)


def clients() -> QuerySet[AbstractClient]:
    """All clients, of whichever model the project uses."""
    queryset: QuerySet[AbstractClient] = apps.get_model(CLIENT_MODEL)._default_manager.all()
    return queryset


def is_client_model(model: type) -> bool:
    """Whether a project's own client model can be used: one that extends ours."""
    return issubclass(model, AbstractClient)


def register(metadata: ClientMetadata, *, caller: audit.Caller) -> Registration:
    """Keep a client that registers itself (RFC 7591)."""
    return _keep(clients().model(), metadata, AbstractClient.RegistrationSource.DCR, caller)


def register_by_hand(client: AbstractClient, metadata: ClientMetadata, *, caller: audit.Caller) -> Registration:
    """Keep a client that an operator adds. `client` is new, and holds whatever a project's own model has besides."""
    return _keep(client, metadata, AbstractClient.RegistrationSource.MANUAL, caller)


@retry_conflicts
def change_client(client: AbstractClient, metadata: ClientMetadata, *, caller: audit.Caller) -> None:
    """Replace what a client registered. How it authenticates stays: that would need another secret."""
    with transaction.atomic():
        _describe(client, metadata)
        columns = [field.attname for field in client._meta.concrete_fields if not field.primary_key]
        names = [name for name in columns if name not in _NOT_METADATA]
        before = clients().filter(pk=client.pk).values(*names).get()
        client.save(update_fields=names)
        changed = changed_names(before, {name: getattr(client, name) for name in names})
        detail = {"changed": changed, **_power_of(client)}
        audit.record(Kind.CLIENT_CHANGED, Outcome.ALLOWED, client=client, caller=caller, detail=detail)


def changed_names(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """For the audit: the columns that a change concerns, and nothing of what is in them."""
    return sorted(name for name in after if name not in _UNTOLD and before[name] != after[name])


@retry_conflicts
def replace_secret(client: AbstractClient, *, caller: audit.Caller) -> str | None:
    """A new secret for a client that an operator added; the old one is refused from the next request on.

    None for a client that has no secret, or is deleted.
    """
    secret = new_secret()
    same = clients().filter(pk=client.pk, registration_source=AbstractClient.RegistrationSource.MANUAL)
    with transaction.atomic():
        replaced = same.filter(deleted_at=None).exclude(client_secret="")
        if not replaced.update(client_secret=hash_secret(secret), updated=Now()):
            return None
        audit.record(Kind.CLIENT_SECRET_REPLACED, Outcome.ALLOWED, client=client, caller=caller)
    return secret


def choose_authentication(client: AbstractClient, metadata: ClientMetadata) -> str | None:
    """Let the client authenticate as it registered. Returns the secret if it needs one that it does not have yet.

    The caller saves the client.
    """
    is_public = metadata.auth_method == "none"
    client.token_endpoint_auth_method = metadata.auth_method
    client.client_type = AbstractClient.CLIENT_PUBLIC if is_public else AbstractClient.CLIENT_CONFIDENTIAL
    if not metadata.has_secret:
        client.client_secret = ""
        return None
    if client.client_secret:
        return None
    secret = new_secret()
    client.client_secret = hash_secret(secret)
    return secret


def find_client(client_id: str) -> AbstractClient | None:
    """The living client of this id."""
    if "\0" in client_id:
        return None
    client = clients().exclude(_host_rule(ClientHost.Trust.BLOCKED)).filter(client_id=client_id).first()
    # MariaDB finds "ABC" for "abc".
    if client is None or client.client_id != client_id or not client.is_alive:
        return None
    return client


def authenticate_client(credentials: ClientCredentials) -> AbstractClient:
    """The client behind `credentials`. Raises `InvalidClient`, in the same words whatever was wrong."""
    client = find_client(credentials.client_id)
    if client is None or not _is_authentic(client, credentials):
        raise InvalidClient(UNKNOWN_CLIENT)
    return client


def find_redirect_uri(client: AbstractClient, presented: str | None) -> str | None:
    """Where an answer to `client` may go: the URI presented if it is registered, or the only one if none was."""
    registered = client.redirect_uris.split()
    if presented is None and len(registered) != 1:
        return None
    try:
        # Again and not only at registration: the settings may have changed, and some clients came another way.
        uri = check_redirect_uri(registered[0] if presented is None else presented, app_settings.REDIRECT_SCHEMES)
    except ValueError:
        return None
    return uri if any(is_redirect_match(each, uri) for each in registered) else None


def is_trusted(client: AbstractClient) -> bool:
    """Whether an operator vouches for it, by itself or by the host of its metadata document."""
    if client.trust == AbstractClient.Trust.TRUSTED:
        return True
    # Only the host of a document is proven; anybody can register a redirect URI of somebody else's.
    documented = clients().filter(pk=client.pk, registration_source=AbstractClient.RegistrationSource.CIMD)
    return documented.filter(_host_rule(ClientHost.Trust.TRUSTED)).exists()


@retry_conflicts
def note_use(client: AbstractClient) -> None:
    """Remember that the client was used, so that cleanup spares it."""
    if client.last_used_at is None or client.last_used_at < timezone.now() - _USE_PRECISION:
        clients().filter(pk=client.pk).update(last_used_at=Now())


def _keep(client: AbstractClient, metadata: ClientMetadata, source: str, caller: audit.Caller) -> Registration:
    token = new_secret() if source == AbstractClient.RegistrationSource.DCR else None
    # URL-safe, so that it makes no difference whether a client encodes it for Basic authentication.
    client.client_id = secrets.token_urlsafe(16)
    client.registration_token = hash_secret(token) if token else ""
    client.authorization_grant_type = AbstractClient.GRANT_AUTHORIZATION_CODE
    client.registration_source = source
    secret = choose_authentication(client, metadata)
    _describe(client, metadata)
    _insert(client, caller)
    return Registration(client, secret, token)


@retry_conflicts
def _insert(client: AbstractClient, caller: audit.Caller) -> None:
    with transaction.atomic():
        client.save(force_insert=True)
        detail = _power_of(client)
        audit.record(Kind.CLIENT_REGISTERED, Outcome.ALLOWED, client=client, caller=caller, detail=detail)


def _power_of(client: AbstractClient) -> dict[str, object]:
    """For the audit, of a resource server: what an operator lets it do, which nobody else could."""
    return {"serves": client.serves, "exchanges_tokens": client.exchanges_tokens} if client.serves else {}


def _describe(client: AbstractClient, metadata: ClientMetadata) -> None:
    client.name = metadata.name[:255]
    client.redirect_uris = " ".join(metadata.redirect_uris)
    client.metadata = metadata.as_dict()
    client.metadata_digest = metadata.digest
    client.host = next(iter(metadata.hosts), "")[:255]


def _host_rule(trust: ClientHost.Trust) -> Exists:
    return Exists(ClientHost.objects.filter(host=OuterRef("host"), trust=trust))


def _is_authentic(client: AbstractClient, credentials: ClientCredentials) -> bool:
    if credentials.method == "none":
        return "none" in client.auth_methods
    # Basic or post, whichever it registered: both prove the same secret, and clients mix them up.
    return credentials.secret is not None and is_secret(credentials.secret, client.client_secret)
