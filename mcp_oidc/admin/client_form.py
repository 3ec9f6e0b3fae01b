"""The form for clients that an operator adds by hand. It accepts what registration would accept."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib.admin.widgets import AdminTextareaWidget
from django.http import HttpRequest
from django.utils.translation import gettext_lazy as _

from mcp_oidc.conf import app_settings, issuer_of
from mcp_oidc.core.introspection import identify_resource
from mcp_oidc.errors import InvalidClientMetadata, InvalidRedirectUri
from mcp_oidc.models import AbstractClient
from mcp_oidc.protocol.client_metadata import GRANT_TYPES, ClientMetadata, parse_client_metadata
from mcp_oidc.protocol.token_exchange import TOKEN_EXCHANGE

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[AbstractClient]
else:
    _ModelForm = forms.ModelForm

_METHODS = [
    ("none", _("none: a desktop or browser client, which can keep no secret")),
    ("client_secret_basic", _("secret in the Authorization header (client_secret_basic)")),
    ("client_secret_post", _("secret in the request body (client_secret_post)")),
]


class ClientForm(_ModelForm):
    """What an operator says of a client; how it authenticates only while it is new. Once valid, it has `metadata`."""

    metadata: ClientMetadata
    # Set by the admin, for the issuer that paths belong to.
    request: HttpRequest

    name = forms.CharField(label=_("Name"), max_length=255, help_text=_("Users see it when they are asked to approve."))
    redirect_uris = forms.CharField(
        label=_("Redirect URIs"),
        widget=AdminTextareaWidget,
        required=False,
        help_text=_(
            "One a line, matched exactly: https, http on localhost (any port), or a private-use scheme of "
            "MCP_OIDC['REDIRECT_SCHEMES']. None for a resource server that no user connects."
        ),
    )
    token_endpoint_auth_method = forms.ChoiceField(
        label=_("Authentication"),
        choices=_METHODS,
        initial="none",
        help_text=_("A secret is made by this server and shown once."),
    )

    exchanges = forms.BooleanField(
        label=_("Token exchange"),
        required=False,
        help_text=_(
            "Lets this resource server fetch the identity provider's access token of every user who calls it, with all "
            "that this token may do there. Leave it off unless its tools call APIs in their users' names."
        ),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.instance.pk:
            self.initial["exchanges"] = self.instance.exchanges_tokens
            self.initial["redirect_uris"] = "\n".join(self.instance.redirect_uris.split())

    def clean_serves(self) -> str:
        entries = list(dict.fromkeys(self.cleaned_data["serves"].split()))
        unknown = [entry for entry in entries if identify_resource(entry, issuer_of(self.request)) is None]
        if unknown:
            values = {"unknown": ", ".join(unknown), "known": ", ".join(app_settings.RESOURCES)}
            raise forms.ValidationError(_("MCP_OIDC['RESOURCES'] names no %(unknown)s, but %(known)s."), params=values)
        return "\n".join(entries)

    def clean(self) -> dict[str, Any]:
        values = super().clean() or self.cleaned_data
        method = values.get("token_endpoint_auth_method", self.instance.token_endpoint_auth_method)
        if values.get("serves") and method == "none":
            self.add_error("serves", _("Only a client with a secret may introspect."))
        if values.get("exchanges") and not self.data.get("serves", "").strip():
            self.add_error("exchanges", _("Only a client that serves resources may exchange tokens."))
        if "name" in values and "redirect_uris" in values:
            self._read_metadata(values, method)
        return values

    def _read_metadata(self, values: dict[str, Any], method: str) -> None:
        if values["redirect_uris"]:
            self._read_app(values, method)
        elif self.data.get("serves", "").strip():
            # No grant types: it asks about tokens, and gets none.
            self.metadata = ClientMetadata((), method, (), application_type="web", name=values["name"], scope="")
        else:
            self.add_error("redirect_uris", self.fields["redirect_uris"].error_messages["required"])
        if values.get("exchanges") and not self.errors:
            self.metadata = replace(self.metadata, grant_types=(*self.metadata.grant_types, TOKEN_EXCHANGE))

    def _read_app(self, values: dict[str, Any], method: str) -> None:
        document = {
            **self.instance.metadata,
            "grant_types": [grant for grant in self.instance.grant_types if grant in GRANT_TYPES],
            "client_name": values["name"],
            "redirect_uris": values["redirect_uris"].split(),
            "token_endpoint_auth_method": method,
        }
        try:
            self.metadata = parse_client_metadata(document, private_schemes=app_settings.REDIRECT_SCHEMES)
        except InvalidRedirectUri as error:
            self.add_error("redirect_uris", error.description)
        except InvalidClientMetadata as error:
            self.add_error(None, error.description)
        else:
            values["redirect_uris"] = " ".join(self.metadata.redirect_uris)
