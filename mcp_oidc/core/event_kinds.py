"""What the audit tells of: every kind of event, with the outcomes that it can have. docs/audit.md explains each."""

from __future__ import annotations

from enum import StrEnum


class Outcome(StrEnum):
    """How a decision went: for whoever asked, against them, or as the end of what was allowed before."""

    ALLOWED = "allowed"
    REFUSED = "refused"
    REVOKED = "revoked"
    # Of what runs by itself.
    FINISHED = "finished"
    FAILED = "failed"


class Kind(StrEnum):
    """What was decided about. The first word is the topic."""

    outcomes: tuple[Outcome, ...]

    def __new__(cls, value: str, *outcomes: Outcome) -> Kind:
        kind = str.__new__(cls, value)
        kind._value_ = value
        kind.outcomes = outcomes
        return kind

    LOGIN = "login", Outcome.ALLOWED, Outcome.REFUSED
    LOGIN_LINKED = "login.linked", Outcome.ALLOWED, Outcome.REFUSED
    LOGOUT = "logout", Outcome.REVOKED

    CONSENT = "consent", Outcome.REFUSED
    CONSENT_REMEMBERED = "consent.remembered", Outcome.ALLOWED
    CONSENT_REVOKED = "consent.revoked", Outcome.REVOKED

    CONNECTION_APPROVED = "connection.approved", Outcome.ALLOWED
    CONNECTION_ISSUED = "connection.issued", Outcome.ALLOWED
    CONNECTION_REFRESHED = "connection.refreshed", Outcome.ALLOWED
    CONNECTION_RETRIED = "connection.retried", Outcome.ALLOWED
    CONNECTION_REFUSED = "connection.refused", Outcome.REFUSED
    CONNECTION_REPLAYED = "connection.replayed", Outcome.REFUSED
    CONNECTION_REVOKED = "connection.revoked", Outcome.REVOKED

    CLIENT_REGISTERED = "client.registered", Outcome.ALLOWED, Outcome.REFUSED
    CLIENT_CHANGED = "client.changed", Outcome.ALLOWED
    CLIENT_SECRET_REPLACED = "client.secret_replaced", Outcome.ALLOWED
    CLIENT_TRUSTED = "client.trusted", Outcome.ALLOWED
    CLIENT_DISTRUSTED = "client.distrusted", Outcome.ALLOWED
    CLIENT_BLOCKED = "client.blocked", Outcome.REVOKED
    CLIENT_UNBLOCKED = "client.unblocked", Outcome.ALLOWED
    CLIENT_REVOKED = "client.revoked", Outcome.REVOKED
    CLIENT_DELETED = "client.deleted", Outcome.REVOKED

    HOST_TRUSTED = "host.trusted", Outcome.ALLOWED
    HOST_BLOCKED = "host.blocked", Outcome.REVOKED
    HOST_UNBLOCKED = "host.unblocked", Outcome.ALLOWED

    USER_CREATED = "user.created", Outcome.ALLOWED
    USER_CHANGED = "user.changed", Outcome.ALLOWED
    USER_REVOKED = "user.revoked", Outcome.REVOKED
    USER_DELETED = "user.deleted", Outcome.REVOKED

    IDENTITY_ASKED = "identity.asked", Outcome.ALLOWED, Outcome.REFUSED

    IDP_TOKENS_EXCHANGED = "idp_tokens.exchanged", Outcome.ALLOWED
    IDP_TOKENS_FORGOTTEN = "idp_tokens.forgotten", Outcome.REVOKED

    KEY_PUBLISHED = "key.published", Outcome.ALLOWED
    KEY_COMPROMISED = "key.compromised", Outcome.REVOKED
    KEY_DELETED = "key.deleted", Outcome.REVOKED

    CLEANUP = "cleanup", Outcome.FINISHED, Outcome.FAILED
    EMERGENCY_REVOKED = "emergency.revoked", Outcome.REVOKED


class Count(StrEnum):
    """What happens too often to be an event, or to strangers: it is only counted, with its wire code as outcome."""

    TOKEN_REFUSED = "token.refused"  # noqa: S105  # the name of a count
    REGISTRATION_REFUSED = "registration.refused"
    RESOURCE_REFUSED = "resource.refused"
    LOGOUT_REFUSED = "logout.refused"
