"""What is kept. Only `core` writes these; DESIGN and docs say why there is so little of it."""

from mcp_oidc.models.assertions import UsedAssertion
from mcp_oidc.models.clients import AbstractClient, Client
from mcp_oidc.models.connections import Connection
from mcp_oidc.models.consents import Consent
from mcp_oidc.models.dashboard import Dashboard
from mcp_oidc.models.events import Event
from mcp_oidc.models.hosts import ClientHost
from mcp_oidc.models.identities import Identity, IdpTokenSet, LoginAttempt
from mcp_oidc.models.keys import SigningKey
from mcp_oidc.models.sessions import LoginSession
from mcp_oidc.models.tallies import HourlyCount

__all__ = [
    "AbstractClient",
    "Client",
    "ClientHost",
    "Connection",
    "Consent",
    "Dashboard",
    "Event",
    "HourlyCount",
    "Identity",
    "IdpTokenSet",
    "LoginAttempt",
    "LoginSession",
    "SigningKey",
    "UsedAssertion",
]
