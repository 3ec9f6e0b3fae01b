"""Hosts that clients are known by: which of them an operator trusts or blocks, and why."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.decisions import DecidingAdmin, Decision, living_connections, operator_of
from mcp_oidc.core.client_hosts import block_host, trust_host, unblock_host
from mcp_oidc.models import ClientHost, Connection
from mcp_oidc.protocol.client_documents import check_document_url

if TYPE_CHECKING:
    _ModelForm = forms.ModelForm[ClientHost]
else:
    _ModelForm = forms.ModelForm


class ClientHostForm(_ModelForm):
    """A host, as it stands in the ids or redirect URIs of its clients."""

    def clean_host(self) -> str:
        host = str(self.cleaned_data["host"]).strip().lower()
        try:
            found = check_document_url(f"https://{host}/")
        except ValueError as error:
            raise forms.ValidationError(str(error)) from None
        if found != host:
            raise forms.ValidationError(_("Write the host alone, such as app.example.com."))
        return host


@admin.register(ClientHost)
class ClientHostAdmin(DecidingAdmin):
    """One row for each decision. Without one, a host is neither trusted nor blocked."""

    form = ClientHostForm
    actions = ("forget",)
    list_display = ("host", "trust", "note", "decided_at")
    list_filter = ("trust",)
    search_texts = ("host", "note")
    search_help_text = gettext_lazy("A part of the host or of the note.")
    ordering = ("host",)
    fields = ("host", "trust", "note")
    list_title = gettext_lazy("Hosts of clients")

    def get_readonly_fields(self, request: HttpRequest, obj: ClientHost | None = None) -> tuple[str, ...]:
        return ("host",) if obj is not None else ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self._is_granted(request, "add")

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self._is_granted(request, "change")

    def save_model(self, request: HttpRequest, obj: ClientHost, form: Any, change: bool) -> None:
        decide = block_host if obj.trust == ClientHost.Trust.BLOCKED else trust_host
        decide(obj.host, note=obj.note, caller=operator_of(request))
        # The admin goes on to the row's page.
        obj.pk = ClientHost.objects.get(host=obj.host).pk

    def connections_of(self, queryset: QuerySet[ClientHost]) -> QuerySet[Connection]:
        blocked = queryset.filter(trust=ClientHost.Trust.BLOCKED).order_by().values("host")
        return living_connections().filter(client__host__in=blocked)

    @admin.action(description=gettext_lazy("Forget"), permissions=["remove"])
    def forget(self, request: HttpRequest, queryset: QuerySet[ClientHost]) -> HttpResponse | None:
        """Neither trust nor block the hosts any more."""
        decision = Decision(
            question=_("Forget what was decided about these hosts?"),
            explanation=_("Their clients are neither trusted nor blocked then. What was revoked stays revoked."),
            apply=lambda row, caller: unblock_host(row.host, caller=caller),
            done=_("Forgotten."),
        )
        return self.decide(request, queryset, decision)
