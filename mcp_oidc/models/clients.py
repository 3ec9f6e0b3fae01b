"""MCP clients: DOT's application model, extended."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _
from oauth2_provider.models import AbstractApplication

from mcp_oidc.conf import app_settings
from mcp_oidc.models.managers import PrimaryManager
from mcp_oidc.models.permissions import PERMISSIONS
from mcp_oidc.protocol.plain_text import cut
from mcp_oidc.protocol.token_exchange import TOKEN_EXCHANGE
from mcp_oidc.protocol.uris import check_redirect_uri

# Read once, as Django does for AUTH_USER_MODEL. Without it `check` says which line to add.
CLIENT_MODEL = getattr(settings, "OAUTH2_PROVIDER_APPLICATION_MODEL", "oauth2_provider.Application")


class ClientManager(PrimaryManager["AbstractClient"]):
    """Finds a client by the id that it goes by, for fixtures."""

    def get_by_natural_key(self, client_id: str) -> AbstractClient:
        return self.get(client_id=client_id)


class AbstractClient(AbstractApplication):  # type: ignore[misc]  # DOT is untyped
    """A client and all that it registered. A project with its own client model starts here."""

    class Trust(models.TextChoices):
        NONE = "", _("not decided")
        TRUSTED = "trusted", _("trusted")
        BLOCKED = "blocked", _("blocked")

    # DOT makes a secret for every application, public ones too, and hashes it with the password hasher: hundreds of
    # milliseconds. Ours have 256 random bits, so one SHA-256 is as good, and public clients get none.
    client_secret = models.CharField(_("hash of the secret"), max_length=64, blank=True, default="", editable=False)
    hash_client_secret = None

    metadata = models.JSONField(_("registered metadata"), default=dict, blank=True)
    metadata_digest = models.CharField(max_length=64, blank=True, default="", db_index=True, editable=False)
    token_endpoint_auth_method = models.CharField(_("authentication method"), max_length=32, default="none")
    registration_token = models.CharField(
        _("hash of the registration token"), max_length=64, blank=True, default="", editable=False
    )
    # Of the metadata document, or of the first https redirect URI: what people know a client by.
    host = models.CharField(_("host"), max_length=255, blank=True, default="", db_index=True, editable=False)
    trust = models.CharField(_("trust"), max_length=16, choices=Trust.choices, blank=True, default=Trust.NONE)
    # Only an operator says so: its own registration never does.
    serves = models.TextField(
        _("resources it serves"),
        blank=True,
        default="",
        help_text=_(
            "For a resource server elsewhere: the resources, as RESOURCES names them and one in each line, whose "
            "tokens it may introspect."
        ),
    )
    last_used_at = models.DateTimeField(_("last used"), null=True, blank=True, db_index=True, editable=False)
    # A tombstone: the id is never given out again, and its holder is told invalid_client.
    deleted_at = models.DateTimeField(_("deleted"), null=True, blank=True, editable=False)

    objects: ClientManager = ClientManager()

    class Meta(AbstractApplication.Meta):  # type: ignore[misc]  # DOT is untyped
        abstract = True
        default_permissions = PERMISSIONS
        verbose_name = _("client")
        verbose_name_plural = _("clients")

    def clean(self) -> None:
        """Check the redirect URIs by the one validator that we have, and not by DOT's. Raises `ValidationError`."""
        for uri in self.redirect_uris.split():
            try:
                check_redirect_uri(uri, app_settings.REDIRECT_SCHEMES)
            except ValueError as error:
                raise ValidationError({"redirect_uris": f"{uri}: {error}"}) from None

    def __str__(self) -> str:
        return cut(self.name or self.client_id, 100)

    def natural_key(self) -> tuple[str]:
        return (self.client_id,)

    @property
    def is_alive(self) -> bool:
        """Whether the client may do anything at all."""
        return self.trust != self.Trust.BLOCKED and self.deleted_at is None

    @property
    def is_public(self) -> bool:
        """Whether it authenticates with nothing but its id."""
        return bool(self.token_endpoint_auth_method == "none")  # noqa: S105  # the name of a method

    @property
    def auth_methods(self) -> list[str]:
        """The methods that it may authenticate with: the one that it registered, and others that its document lists."""
        return list(self.metadata.get("token_endpoint_auth_methods_supported", [self.token_endpoint_auth_method]))

    @property
    def grant_types(self) -> list[str]:
        """The grant types that it registered (RFC 7591)."""
        return list(self.metadata.get("grant_types", ["authorization_code", "refresh_token"]))

    @property
    def exchanges_tokens(self) -> bool:
        """Whether an operator lets it exchange its users' tokens for those of the identity provider (RFC 8693)."""
        return TOKEN_EXCHANGE in self.grant_types

    def is_usable(self, request: Any) -> bool:
        """DOT's question whether the client may be used."""
        return self.is_alive


class Client(AbstractClient):
    """A client, unless the project has its own model."""

    class Meta(AbstractClient.Meta):
        abstract = False
        swappable = "OAUTH2_PROVIDER_APPLICATION_MODEL"
