"""What an operator decides about clients: actions of their list, each of which asks first."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from mcp_oidc.admin.decisions import DecidingAdmin, Decision, bystanders, living_connections
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import replace_secret
from mcp_oidc.core.revocation import block_client, delete_client, revoke_client, unblock_client
from mcp_oidc.core.trust import distrust_client, trust_client
from mcp_oidc.models import AbstractClient, Connection


class DecidingAboutClients(DecidingAdmin):
    """The page of clients, as far as decisions go."""

    actions = ("revoke_access", "block", "unblock", "trust_it", "distrust", "replace_secret", "delete")

    def connections_of(self, queryset: QuerySet[AbstractClient]) -> QuerySet[Connection]:
        return living_connections().filter(client__in=queryset.order_by().values("pk"))

    def row_actions(self, request: HttpRequest, row: Any) -> list[tuple[str, str]]:
        if row.deleted_at is not None:
            return []
        trust = AbstractClient.Trust
        hidden = {
            trust.NONE: {"unblock", "distrust"},
            trust.TRUSTED: {"unblock", "trust_it"},
            trust.BLOCKED: {"block", "trust_it", "distrust"},
        }[trust(row.trust)]
        if row.registration_source != "manual" or not row.client_secret:
            hidden.add("replace_secret")
        return [(name, label) for name, label in super().row_actions(request, row) if name not in hidden]

    def show_secrets(self, request: HttpRequest, title: str, secrets: list[tuple[AbstractClient, str]]) -> HttpResponse:
        # At once, and not by a message: one that waits for a redirect lies in a cookie or in the session's table.
        context = {**self.admin_site.each_context(request), "title": title, "opts": self.opts, "secrets": secrets}
        return TemplateResponse(request, "mcp_oidc/admin/client_secrets.html", context)

    @admin.action(description=gettext_lazy("Revoke all access"), permissions=["revoke"])
    def revoke_access(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """End every connection of the clients."""
        decision = Decision(
            question=_("Revoke all access of these clients?"),
            explanation=_("Their tokens are refused from the next request on. Users are asked again if they return."),
            apply=lambda row, caller: revoke_client(row, "revoked_by_admin", caller=caller),
            done=_("All access revoked."),
        )
        return self.decide(request, queryset, decision)

    @admin.action(description=gettext_lazy("Block"), permissions=["revoke"])
    def block(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Refuse the clients until they are unblocked."""
        decision = Decision(
            question=_("Block these clients?"),
            explanation=_(
                "All their access is revoked, and nobody can connect with them until they are unblocked. A metadata "
                "document that is read again changes nothing about it. An app that registers itself anew gets another "
                "id: to refuse those as well, block its host."
            ),
            apply=lambda row, caller: block_client(row, caller=caller),
            done=_("Blocked."),
        )
        return self.decide(request, queryset, decision)

    @admin.action(description=gettext_lazy("Unblock"), permissions=["decide"])
    def unblock(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Let blocked clients begin anew."""
        decision = Decision(
            question=_("Unblock these clients?"),
            explanation=_("Users can connect with them again. What was revoked stays revoked."),
            apply=lambda row, caller: unblock_client(row, caller=caller),
            done=_("Unblocked."),
        )
        blocked = queryset.filter(trust=AbstractClient.Trust.BLOCKED)
        return self.decide(request, blocked, decision)

    @admin.action(description=gettext_lazy("Trust"), permissions=["decide"])
    def trust_it(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Vouch for the clients."""
        decision = Decision(
            question=_("Trust these clients?"),
            explanation=_(
                "The consent page says that you have checked them, and users rely on that. Whoever can change what "
                "such a client does acts with your word."
            ),
            apply=lambda row, caller: trust_client(row, caller=caller),
            done=_("Trusted."),
            effects=lambda rows: bystanders(self.connections_of(rows)),
        )
        undecided = queryset.filter(trust=AbstractClient.Trust.NONE, deleted_at=None)
        return self.decide(request, undecided, decision)

    @admin.action(description=gettext_lazy("Trust no longer"), permissions=["decide"])
    def distrust(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Vouch for the clients no longer."""
        decision = Decision(
            question=_("Trust these clients no longer?"),
            explanation=_("The consent page says again that nobody has checked them. Nobody is disconnected."),
            apply=lambda row, caller: distrust_client(row, caller=caller),
            done=_("Trusted no longer."),
            effects=lambda rows: bystanders(self.connections_of(rows)),
        )
        return self.decide(request, queryset.filter(trust=AbstractClient.Trust.TRUSTED), decision)

    @admin.action(description=gettext_lazy("New secret"), permissions=["decide"])
    def replace_secret(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """Give the clients another secret, and show it."""
        made: list[tuple[AbstractClient, str]] = []

        def apply(row: AbstractClient, caller: Caller) -> None:
            secret = replace_secret(row, caller=caller)
            if secret is not None:
                made.append((row, secret))

        decision = Decision(
            question=_("Make a new secret for these clients?"),
            explanation=_(
                "The old secret is refused at once: what uses it fails until it has the new one, which is shown on "
                "the next page and never again. Nobody is disconnected."
            ),
            apply=apply,
            done=_("New secret."),
            effects=lambda rows: bystanders(self.connections_of(rows)),
        )
        ours = queryset.filter(registration_source="manual", deleted_at=None).exclude(client_secret="")
        return self.decide(request, ours, decision) or self.show_secrets(request, _("New secrets"), made)

    @admin.action(description=gettext_lazy("Delete"), permissions=["remove"])
    def delete(self, request: HttpRequest, queryset: QuerySet[AbstractClient]) -> HttpResponse | None:
        """End the clients for good."""
        decision = Decision(
            question=_("Delete these clients?"),
            explanation=_(
                "All their access is revoked, for good. Their ids are never given out again: whoever still uses one is "
                "told that the client is unknown, and registers anew."
            ),
            apply=lambda row, caller: delete_client(row, caller=caller),
            done=_("Deleted."),
        )
        return self.decide(request, queryset.filter(deleted_at=None), decision)
