"""The words that people read for the codes of the audit. Exports, logs and signals have the codes themselves."""

from __future__ import annotations

from collections.abc import Mapping

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from mcp_oidc.core.event_kinds import Kind, Outcome
from mcp_oidc.protocol.plain_text import cut

__all__ = ["kind_label", "outcome_label", "reason_label"]

_Labels = Mapping[str, Promise | str]

KINDS: _Labels = {
    Kind.LOGIN: _("login"),
    Kind.LOGIN_LINKED: _("login linked to an account"),
    Kind.LOGOUT: _("logout"),
    Kind.CONSENT: _("consent"),
    Kind.CONSENT_REMEMBERED: _("consent remembered"),
    Kind.CONSENT_REVOKED: _("consent withdrawn"),
    Kind.CONNECTION_APPROVED: _("connection approved"),
    Kind.CONNECTION_ISSUED: _("first tokens issued"),
    Kind.CONNECTION_REFRESHED: _("tokens refreshed"),
    Kind.CONNECTION_RETRIED: _("refresh repeated"),
    Kind.CONNECTION_REFUSED: _("code or token refused"),
    Kind.CONNECTION_REPLAYED: _("code or token used again"),
    Kind.CONNECTION_REVOKED: _("connection ended"),
    Kind.CLIENT_REGISTERED: _("client registered"),
    Kind.CLIENT_CHANGED: _("client changed"),
    Kind.CLIENT_SECRET_REPLACED: _("client secret replaced"),
    Kind.CLIENT_TRUSTED: _("client trusted"),
    Kind.CLIENT_DISTRUSTED: _("client trusted no longer"),
    Kind.CLIENT_BLOCKED: _("client blocked"),
    Kind.CLIENT_UNBLOCKED: _("client unblocked"),
    Kind.CLIENT_REVOKED: _("all access of a client revoked"),
    Kind.CLIENT_DELETED: _("client deleted"),
    Kind.HOST_TRUSTED: _("host trusted"),
    Kind.HOST_BLOCKED: _("host blocked"),
    Kind.HOST_UNBLOCKED: _("host neither trusted nor blocked any more"),
    Kind.USER_CREATED: _("user created"),
    Kind.USER_CHANGED: _("user changed"),
    Kind.USER_REVOKED: _("all access of a user revoked"),
    Kind.USER_DELETED: _("user deleted"),
    Kind.IDENTITY_ASKED: _("identity provider asked about access"),
    Kind.IDP_TOKENS_EXCHANGED: _("token of the identity provider handed out"),
    Kind.IDP_TOKENS_FORGOTTEN: _("tokens of the identity provider forgotten"),
    Kind.KEY_PUBLISHED: _("signing key made"),
    Kind.KEY_COMPROMISED: _("other signing keys dropped"),
    Kind.KEY_DELETED: _("signing key deleted"),
    Kind.CLEANUP: _("cleanup"),
    Kind.EMERGENCY_REVOKED: _("emergency revocation"),
}

OUTCOMES: _Labels = {
    Outcome.ALLOWED: _("allowed"),
    Outcome.REFUSED: _("refused"),
    Outcome.REVOKED: _("revoked"),
    Outcome.FINISHED: _("finished"),
    Outcome.FAILED: _("failed"),
}

REASONS: _Labels = {
    "asked": _("the user was asked"),
    "not_asked": _("the user was not asked"),
    "denied by the user": _("denied by the user"),
    "refused by the adapter": _("refused by the adapter"),
    "refused_by_adapter": _("refused by the adapter"),
    "client blocked": _("client blocked"),
    "user_request": _("asked for by the user"),
    "client_request": _("asked for by the client"),
    "revoked_by_admin": _("by an operator"),
    "ended_by_admin": _("by an operator"),
    "emergency": _("emergency"),
    "consent_revoked": _("consent withdrawn"),
    "client_blocked": _("client blocked"),
    "client_deleted": _("client deleted"),
    "host_blocked": _("host blocked"),
    "user_inactive": _("user deactivated"),
    "user_deleted": _("user deleted"),
    "user_logout": _("logged out by the user"),
    "idp_logout": _("logged out by the identity provider"),
    "idp_refused": _("refused by the identity provider"),
    "code_reused": _("code used twice"),
    "refresh_token_replayed": _("refresh token used again"),
    "other_client": _("used by another client"),
    "wrong_redirect_uri": _("wrong redirect URI"),
    "wrong_code_verifier": _("wrong code verifier"),
    "has_access": _("still has access"),
    "has_no_access": _("has lost access"),
    "no_answer": _("no answer"),
    "cannot_be_asked": _("no refresh token to ask with"),
}


def kind_label(code: str) -> str:
    """What a kind of event is called; its code, where we do not know it."""
    return str(KINDS.get(code, code))


def outcome_label(code: str) -> str:
    """How it went."""
    return str(OUTCOMES.get(code, code))


def reason_label(reason: str, limit: int = 100) -> str:
    """Why, in words. A reason that is no code of ours stays as it is, cut to `limit`."""
    label = REASONS.get(reason)
    return cut(reason, limit) if label is None else str(label)
