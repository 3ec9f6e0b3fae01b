"""Every MUST that we claim, one entry each: an id, where it stands, and the sentence.

To claim one, append `Requirement(id, source, sentence)` to the list of its room below and mark the test that proves it:

    @pytest.mark.requirement("code-once")
    def test_second_use_of_a_code_revokes_what_the_first_one_issued(...): ...

An id is a plain string in the source; a test may carry several marks, and an entry may have several tests.
`tests/test_requirements.py` fails when an entry has no test, a mark has no entry, or an id stands here twice.
"""

from __future__ import annotations

from typing import NamedTuple


class Requirement(NamedTuple):
    """One thing that we claim to do. `source` is a specification with its section, or a document of this project."""

    id: str
    source: str
    sentence: str


PROTOCOL = [
    Requirement(
        "redirect-uri-safe",
        "RFC 9700 2.1, RFC 8252 7, issue 3",
        "A redirect URI is https, http on a loopback host, or of a private-use scheme that this server allows.",
    ),
    Requirement(
        "redirect-uri-exact",
        "RFC 9700 4.1.3, RFC 8252 7.3",
        "A presented redirect URI is the registered one, character for character, but for the port of a loopback host.",
    ),
    Requirement(
        "redirect-query-kept", "RFC 6749 3.1.2", "The query of a redirect URI is kept when an answer is added."
    ),
    Requirement(
        "one-bad-redirect-refuses-all", "issue 3", "One bad redirect URI refuses the registration that it stands in."
    ),
    Requirement("registration-echo", "RFC 7591 3.2.1", "A registration is answered with all metadata that was kept."),
    Requirement("no-null", "CLIENTS.md", "No document of this server holds a null, which clients refuse."),
    Requirement("pkce-required", "OAuth 2.1 4.1.1, MCP", "An authorization request needs a PKCE challenge with S256."),
    Requirement("pkce-s256", "RFC 7636 4.6", "A verifier is good for its own challenge only."),
    Requirement(
        "opaque-tokens-sound",
        "DESIGN.md 1",
        "Every code and refresh token that was issued verifies while its key is there, and nothing else does.",
    ),
    Requirement("no-doubled-parameter", "RFC 6749 3.1, 3.2", "A parameter that is sent more than once is refused."),
    Requirement("empty-parameter-omitted", "RFC 6749 3.1, 3.2", "A parameter without a value counts as left out."),
    Requirement("client-basic", "RFC 6749 2.3.1", "Basic credentials are form-decoded."),
    Requirement("client-one-method", "RFC 6749 2.3", "A client that authenticates in two ways at once is refused."),
    Requirement("unknown-scope-dropped", "DESIGN.md 4", "A scope that is not known is dropped and not fatal."),
    Requirement("challenge", "RFC 6750 3, RFC 9728 5.1", "A refusal says what is wrong and where the metadata is."),
    Requirement("jwks-public-only", "RFC 7517 9.2", "The JWK Set that is published holds no private key."),
    Requirement("access-token-rfc9068", "RFC 9068 2", "Access tokens have the type and the claims of RFC 9068."),
    Requirement(
        "added-claims", "RFC 9068 2.2, adapter", "An adapter adds claims, and says none that are the server's."
    ),
    Requirement("access-token-typ", "RFC 9068 4", "A JWT of another type is not taken for an access token."),
    Requirement("audience-exact", "RFC 8707 2, RFC 9068 4", "A resource takes only tokens for itself."),
    Requirement("token-expiry", "RFC 9068 4", "An access token that has expired is refused."),
    Requirement(
        "jwt-algorithm-pinned", "RFC 8725 3.1", "A key is used with its own algorithm only, whatever a header says."
    ),
]

CORE = [
    Requirement(
        "code-once",
        "RFC 6749 4.1.2, OAuth 2.1 4.1.3",
        "A code is redeemed once; a second use revokes what the first one issued, unless it lost a race.",
    ),
    Requirement(
        "code-bound", "RFC 6749 4.1.3", "A code is good for its own client, redirect URI, verifier and resource only."
    ),
    Requirement("code-expiry", "RFC 6749 4.1.2", "A code expires within a minute, by the database's clock."),
    Requirement("refresh-rotates", "OAuth 2.1 4.3.1, RFC 9700 4.14.2", "Each refresh brings a new refresh token."),
    Requirement("refresh-parallel", "DESIGN.md 1", "Parallel uses of one refresh token get the same successor."),
    Requirement(
        "refresh-retry",
        "DESIGN.md 1",
        "The previous refresh token gets the same successor in the grace, and later while that was not seen in use.",
    ),
    Requirement(
        "refresh-replay", "RFC 9700 4.14.2", "Any other use of a superseded refresh token revokes its connection."
    ),
    Requirement(
        "refresh-straggler",
        "DESIGN.md 1",
        "A refresh token superseded less than ten seconds ago is refused without revoking anything.",
    ),
    Requirement("refresh-expiry", "RFC 9700 4.14.2", "A refresh token expires when it is not used."),
    Requirement("token-within-connection", "DESIGN.md 1", "No access token outlives its connection."),
    Requirement("connection-max-age", "DESIGN.md 3", "No token outlives CONNECTION_MAX_AGE."),
    Requirement("restored-backup", "DESIGN.md 1", "A token from after a restored backup moves its connection forward."),
    Requirement(
        "scope-narrowing", "RFC 6749 6", "A refresh may ask for fewer scopes, once, and is refused for more of them."
    ),
    Requirement(
        "never-more-than-allowed", "issue 4", "A refresh gives no scope that the user or the settings withdrew."
    ),
    Requirement("one-code-for-one-consent", "FAULTS.md 4", "A consent that is sent twice gives one code."),
    Requirement("seen-once", "DESIGN.md 1", "That a generation was seen is written once, off the time of the request."),
    Requirement("signing-outside-transactions", "issue 4", "Nothing is signed while a transaction is open."),
    Requirement("conflicts-retried", "issue 4", "A deadlock between two transactions costs nobody an error."),
    Requirement("inactive-user", "DESIGN.md 1", "No token is issued for an inactive user."),
    Requirement("id-token", "OpenID Connect Core 2, 3.1.3.6", "An ID token is for the client, with nonce and at_hash."),
    Requirement("nothing-usable-stored", "DESIGN.md 4", "No code, token or login secret lies in the database."),
    Requirement("secrets-hashed", "DESIGN.md 4", "A client's secret is kept as a hash alone."),
    Requirement("encrypted-at-rest", "DESIGN.md 4", "IdP tokens and private keys are encrypted, each for its own row."),
    Requirement(
        "key-rotation", "DESIGN.md 4", "Rotating SECRET_KEY through its fallbacks or a signing key costs no one."
    ),
    Requirement("one-first-key", "FAULTS.md 17", "Processes that start together make one signing key."),
    Requirement(
        "key-published-first",
        "FAULTS.md 18, issue 4",
        "A new key is published before it signs, and the one before it until its last token has expired.",
    ),
    Requirement(
        "compromised-key", "issue 4", "A key that leaked is dropped, its tokens are refused, and clients refresh."
    ),
    Requirement(
        "unusable-keys",
        "issue 4, FAULTS.md invariant 3",
        "Keys that cannot be used end in a check, a log line with the way out and a 503, and never in a traceback.",
    ),
    Requirement(
        "reencryption",
        "issue 4",
        "A command encrypts all with the first key, overwrites nothing newer, and says what it could not read.",
    ),
    Requirement("client-id-exact", "RFC 6749 2.2", "A client is found by its exact id, whatever the database thinks."),
    Requirement("client-authenticated", "RFC 6749 3.2.1", "A confidential client without its secret is refused."),
    Requirement("consent-remembered", "DESIGN.md 1, issue 3", "A user is asked for anything not approved before."),
    Requirement("user-is-issuer-and-sub", "OpenID Connect Core 5.7", "A user is the pair of issuer and sub alone."),
    Requirement("email-never-links", "DESIGN.md 4", "No e-mail address or user name links to an existing account."),
    Requirement(
        "link-by-email",
        "DESIGN.md 4, issue 5",
        "Where it is allowed, a first login gets the one active account of its verified address, but never staff's.",
    ),
    Requirement(
        "email-verified-only", "OpenID Connect Core 5.1", "A user's address is one that the IdP says is verified."
    ),
    Requirement("user-follows-claims", "issue 5", "Name and address follow the claims of later logins if told to."),
    Requirement("user-never-collides", "issue 5", "No user gets the name or the address of another one."),
    Requirement("flags-by-adapter", "issue 5", "Groups and staff flags come from the adapter alone."),
    Requirement("login-once", "OpenID Connect Core 3.1.2.7", "The state of a login is used once."),
    Requirement("login-browser", "RFC 6749 10.12", "A login is finished only by the browser that began it."),
    Requirement(
        "idp-refresh-once", "DESIGN.md 1", "One process at a time refreshes IdP tokens, and none puts back old ones."
    ),
    Requirement("revocation-at-once", "DESIGN.md 4", "A token is refused from the moment of its revocation."),
    Requirement("revoked-once", "DESIGN.md 1", "A connection ends once, and one event tells of it."),
    Requirement("revoked-signal", "issue 4", "A signal tells of each connection that ended, once that is committed."),
    Requirement(
        "revocation-in-batches",
        "issue 4",
        "Any number of connections ends in short transactions, and what was cut off is finished by doing it again.",
    ),
    Requirement(
        "user-inactive", "issue 4", "A user who is deactivated loses everything, and it does not come back with them."
    ),
    Requirement(
        "idp-refusal-revokes",
        "issue 4, FAULTS.md 13",
        "A refresh token that the provider ended ends its user's connections; an outage or a newer login ends none.",
    ),
    Requirement(
        "user-save-cheap", "issue 4", "Saving a user who is not deactivated asks the database nothing of ours."
    ),
    Requirement(
        "user-deleted", "issue 4", "What a deleted user had ends with them, and the events of it tell nothing personal."
    ),
    Requirement(
        "introspection-seen",
        "DESIGN.md 1, issue 4",
        "A token that its client or its resource introspects counts as seen in use, and by nobody else's question.",
    ),
    Requirement("introspection-own-tokens", "RFC 7662 4", "A client learns nothing of the tokens of others."),
    Requirement("invalid-target", "RFC 8707 2", "A resource that is not ours is an invalid_target."),
    Requirement("primary-database", "DESIGN.md 1", "What decides is read from the database that is written to."),
    Requirement("no-forwarded-headers", "DESIGN.md 5", "No forwarded header is believed."),
    Requirement("few-statements", "DESIGN.md 1", "A refresh takes three statements, a verification one."),
    Requirement("audit", "issue 7", "Every decision is an event in its transaction, a signal and a line in the log."),
    Requirement("audit-no-secrets", "issue 7", "No event and no line of the audit's log holds a token or a secret."),
    Requirement("audit-retention", "issue 7", "Events are deleted when they are older than the setting says."),
    Requirement(
        "audit-exported", "issue 7", "What is filtered is exported as CSV in batches, and no cell is a formula."
    ),
    Requirement("metrics", "issue 7", "Metrics are of all processes, never fall, and open to a secret alone."),
    Requirement("audit-documented", "issue 7", "The audit's page has every kind of event, and no other."),
    Requirement(
        "tallies",
        "issue 7",
        "What happens in an hour is counted without a statement in any request, and read without counting events.",
    ),
]

SERVER: list[Requirement] = [
    Requirement("outage-told-seldom", "FAULTS.md, invariant 5", "An outage is logged at a bounded rate."),
    Requirement("metadata-agrees", "RFC 8414 3, OpenID Connect Discovery 4", "Both metadata documents say the same."),
    Requirement(
        "metadata-issuer",
        "RFC 8414 3.3, DESIGN.md 4",
        "The issuer is the one that is configured, whatever headers a request has.",
    ),
    Requirement(
        "metadata-own-path-only",
        "RFC 8414 3.1, OpenID Connect Discovery 4.1",
        "Metadata stands behind and before the path of the issuer, and at no other.",
    ),
    Requirement("cors-metadata-open", "CLIENTS.md", "Pages of any origin may read metadata and keys."),
    Requirement(
        "cors-endpoints-closed",
        "DESIGN.md 3",
        "Only our origin, the Inspector's and CORS_ORIGINS may call the endpoints of clients.",
    ),
    Requirement("cors-pages-closed", "Fetch, CORS protocol", "No origin may read a page that is for a person."),
    Requirement(
        "cors-preflight",
        "CLIENTS.md",
        "Browsers may send the headers of OAuth and MCP, and read the challenge and the session.",
    ),
    Requirement(
        "registration-response", "RFC 7591 3.2.1", "A registration is answered with 201, an id and what was kept."
    ),
    Requirement(
        "registration-secret",
        "RFC 7591 3.2.1, issue 2",
        "A confidential client is told its secret once, a public one gets none, and no slow hash is called.",
    ),
    Requirement("registration-url-safe", "CLIENTS.md", "Client ids and secrets need no escape in a URL."),
    Requirement("registration-no-store", "RFC 7591 3.2.1", "Answers of the registration endpoint are not cached."),
    Requirement(
        "registration-errors",
        "RFC 7591 3.2.2",
        "A refused registration names the member that is wrong, and keeps nothing.",
    ),
    Requirement(
        "authorization-unknown-sender",
        "RFC 6749 4.1.2.1",
        "For an unknown client or redirect URI a page is shown before any login, and nobody is redirected.",
    ),
    Requirement(
        "authorization-errors",
        "RFC 6749 4.1.2.1",
        "Every other error goes to the client before anybody has to log in for it.",
    ),
    Requirement("authorization-iss", "RFC 9207 2", "Every authorization response has iss, errors included."),
    Requirement("authorization-state", "RFC 6749 4.1.2", "The state comes back exactly as it was sent."),
    Requirement(
        "authorization-resource-scopes", "DESIGN.md 4", "A token carries its resource's scopes, asked for or not."
    ),
    Requirement(
        "authorization-max-age", "OpenID Connect Core 3.1.2.1", "A login older than max_age is asked for again."
    ),
    Requirement(
        "authorization-prompt-none", "OpenID Connect Core 3.1.2.1", "With the prompt none, no page is shown to anybody."
    ),
    Requirement("page-headers", "RFC 9700 4.16, OAuth 2.1 7.9", "Pages are not framed, cached or run in."),
    Requirement(
        "consent-destination",
        "MCP security best practices",
        "The consent page names the whole host that is answered to.",
    ),
    Requirement("consent-name-inert", "RFC 7591 5", "Whatever a client calls itself is only text on the consent page."),
    Requirement(
        "connected-apps", "issue 4", "Users see of each app of theirs what it is, what it may, and when it was used."
    ),
    Requirement("connected-apps-inert", "RFC 7591 5", "Whatever a client calls itself is only text there, too."),
    Requirement("connected-apps-own", "issue 4", "Nobody sees or ends what is another user's, or by a forged form."),
    Requirement(
        "authorization-request-survives", "issue 5", "The whole request survives the login, however long it is."
    ),
    Requirement("connected-apps-login", "issue 4", "Who is not logged in is sent to the login and back."),
    Requirement("user-revokes", "issue 4", "What a user disconnects is refused at once, and has to be approved anew."),
    Requirement("consent-csrf", "RFC 6749 10.12", "A decision counts only with the CSRF token of its page."),
    Requirement(
        "consent-denied", "RFC 6749 4.1.2.1", "A no is told to the client as access_denied, and not remembered."
    ),
    Requirement("consent-same-person", "RFC 6749 10.12", "Only the person who was asked can answer."),
    Requirement("token-response", "RFC 6749 5.1", "Tokens come in JSON that is not cached and has no empty member."),
    Requirement("token-errors", "RFC 6749 5.2", "A refusal has the right code, in JSON, and uses no code up."),
    Requirement(
        "token-form-only", "RFC 6749 3.2, 2.3.1", "Parameters are read from a form in the body, and from nowhere else."
    ),
    Requirement(
        "token-invalid-client",
        "RFC 6749 5.2",
        "A client that is unknown or does not prove itself gets 401, invalid_client and a Basic challenge.",
    ),
    Requirement(
        "revocation-whole-grant",
        "RFC 7009 2.1",
        "Revoking either token ends both, and all that came of the same grant.",
    ),
    Requirement(
        "revocation-own-tokens", "RFC 7009 2.1", "A client revokes its own tokens only, and learns nothing of others."
    ),
    Requirement("introspection-response", "RFC 7662 2.2", "A live token is described to the client that owns it."),
    Requirement(
        "introspection-dead-tokens", "RFC 7662 2.2", "A token that is revoked, superseded or made up is not active."
    ),
    Requirement("introspection-authenticated", "RFC 7662 2.1", "Only a client that proves itself may introspect."),
    Requirement(
        "introspection-resource",
        "RFC 7662 2.2, 4; issue 4",
        "A resource server is told of access tokens for the resources it serves, and of nothing else.",
    ),
    Requirement(
        "introspection-operator-only", "issue 4", "No registration and no document makes a client a resource server."
    ),
    Requirement(
        "exchange-response",
        "RFC 8693 2.2.1, issue 6",
        "A resource server gets the provider's access token for a token that came to it, and nothing else of the user.",
    ),
    Requirement(
        "exchange-subject", "RFC 8693 2.2.2", "A subject token that is dead, or for another resource, is refused alike."
    ),
    Requirement("exchange-errors", "RFC 8693 2.2.2", "What is not exchanged is refused in the protocol's terms."),
    Requirement(
        "exchange-operator-only",
        "issue 6",
        "Only a client that an operator allows it exchanges tokens; no registration and no document does.",
    ),
    Requirement(
        "exchange-outage",
        "issue 6, DESIGN.md 4",
        "An outage of the provider is a 503 at token exchange, and the need for a login an error of its own.",
    ),
    Requirement("exchange-recorded", "issue 6", "That a provider's token was handed out is recorded, without it."),
    Requirement("revocation-expired", "issue 4", "A client ends its connection with an access token that has expired."),
    Requirement(
        "userinfo-claims", "OpenID Connect Core 5.3, 5.4", "Userinfo tells the claims that the scopes release."
    ),
    Requirement("userinfo-sub", "OpenID Connect Core 5.3.2", "The sub of userinfo is that of the ID token."),
    Requirement("userinfo-openid", "OpenID Connect Core 5.3.1", "Userinfo needs the scope openid."),
    Requirement(
        "outage-503",
        "FAULTS.md 5 and 6",
        "While the database does not answer, clients get 503 with Retry-After and people a page, and nothing is lost.",
    ),
    Requirement(
        "revocation-outlasts-error",
        "NEIGHBOURS.md",
        "What was revoked before an error stays revoked, ATOMIC_REQUESTS or not.",
    ),
    Requirement(
        "nonsense",
        "issue 2",
        "Nonsense at any endpoint is a 4xx in the protocol's terms, and never a 500 or a stack trace.",
    ),
    Requirement("log-no-secrets", "FAULTS.md, invariant 5", "No token, code, secret, verifier or state is logged."),
    Requirement("health", "DESIGN.md 2", "Health is 200 while the database answers and there is a key to sign with."),
    Requirement(
        "generate-jwks",
        "issue 2",
        "generate_jwks prints a private JWK Set that the server takes as it is, or saves it.",
    ),
    Requirement(
        "client-document-chatgpt",
        "CLIENTS.md",
        "ChatGPT's metadata document works as it stands, with an assertion and without one.",
    ),
    Requirement(
        "client-document-claude-code", "CLIENTS.md", "Claude Code's metadata document works as it stands, on any port."
    ),
    Requirement(
        "client-document-url",
        "draft-ietf-oauth-client-id-metadata-document 3",
        "A client id that is a URL is https, has a path without dot segments, and neither fragment nor user name.",
    ),
    Requirement(
        "client-document-own-url",
        "draft-ietf-oauth-client-id-metadata-document 4",
        "A document names the very URL that it is at.",
    ),
    Requirement(
        "client-document-no-secret",
        "draft-ietf-oauth-client-id-metadata-document 4.1",
        "A document with a client secret is refused.",
    ),
    Requirement(
        "client-document-methods",
        "draft-ietf-oauth-client-id-metadata-document 4.1, issue 3",
        "A client authenticates by none or private_key_jwt: what its document prefers, or what it lists besides.",
    ),
    Requirement(
        "client-document-redirects",
        "issue 3",
        "Redirect URIs that cannot be used are passed over in a document, and answers go to the others alone.",
    ),
    Requirement(
        "client-document-after-login",
        "issue 3",
        "A document is fetched for a user who has logged in; before it was read, every error is a page.",
    ),
    Requirement(
        "client-document-kept", "issue 3", "A document makes one client, which is recorded and kept until it is stale."
    ),
    Requirement(
        "client-document-stale",
        "issue 3",
        "A stale document is read again, its last good version is served meanwhile, and what it drops stops working.",
    ),
    Requirement(
        "client-document-unusable", "issue 3", "A document that cannot be used gets a page that says what is wrong."
    ),
    Requirement(
        "client-document-unavailable",
        "draft-ietf-oauth-client-id-metadata-document 4.2",
        "A document that cannot be read gets a page, is not fetched again at once, and is not kept.",
    ),
    Requirement(
        "client-document-bounded",
        "draft-ietf-oauth-client-id-metadata-document 6.6",
        "Fetches are bounded in time, and few run at once, however long a host takes.",
    ),
    Requirement(
        "client-document-ssrf",
        "draft-ietf-oauth-client-id-metadata-document 6.5",
        "Nothing that a client names is fetched from an address that is not public.",
    ),
    Requirement("client-document-no-fetch-at-token", "issue 3", "The token endpoint fetches no metadata document."),
    Requirement(
        "client-document-refused",
        "issue 3",
        "A client that was deleted or blocked, or whose host is blocked, does not come back by its document.",
    ),
    Requirement(
        "client-document-setting",
        "DESIGN.md 3",
        "REGISTRATION closed lets no client in by its document, and the metadata says so.",
    ),
    Requirement(
        "client-host-trust",
        "issue 3, CLIENTS.md",
        "Trust in a host counts for documents at that host, and for no client that only names it.",
    ),
    Requirement("client-host-block", "issue 3", "Blocking a host ends all that its clients have, and is recorded."),
    Requirement(
        "assertion-algorithms",
        "RFC 7523 3, RFC 8725 3.1",
        "An assertion is signed with RS256, PS256, ES256 or EdDSA, and never with a shared secret or not at all.",
    ),
    Requirement(
        "assertion-claims",
        "RFC 7523 3, OpenID Connect Core 9",
        "An assertion names its client as iss and sub, this server alone as aud, an exp within ten minutes, and a jti.",
    ),
    Requirement("assertion-once", "RFC 7523 3", "An assertion is good once, also where it arrives twice at a time."),
    Requirement(
        "assertion-client",
        "RFC 7521 4.2, RFC 7523 3",
        "A client may leave its id out beside an assertion, for the issuer or an endpoint as audience.",
    ),
    Requirement("assertion-required", "issue 3", "Who registered a key must use it, and who registered none cannot."),
    Requirement(
        "assertion-published-keys",
        "OpenID Connect Core 10.1.1, issue 3",
        "Keys at a jwks_uri are fetched seldom, again for an unknown key, and an outage is no failed authentication.",
    ),
]

PAGES: list[Requirement] = [
    Requirement(
        "consent-local",
        "RFC 8252 8.6, issue 3",
        "Consent for a loopback or private-use redirect is remembered only while the setting allows it.",
    ),
    Requirement(
        "login-renewed",
        "OpenID Connect Core 3.1.2.1",
        "After prompt=login or max_age a client gets a code only for a login that is new enough.",
    ),
    Requirement(
        "auth-time", "OpenID Connect Core 2", "auth_time is the moment of the login that the connection rests on."
    ),
    Requirement(
        "csrf-page", "issue 3", "A form without its token is answered with a page of ours that offers to start again."
    ),
    Requirement(
        "csp-form-action", "CLIENTS.md", "A policy of the site for all its pages does not stop the answer to a client."
    ),
    Requirement(
        "consent-in-browser",
        "issue 3",
        "Allow and Deny weigh the same and work with and without JavaScript, by keyboard, and under a strict policy.",
    ),
    Requirement("translated", "issue 7", "Whatever people read is there in German, French, Spanish and Japanese."),
    Requirement(
        "ui-locales",
        "OpenID Connect Core 3.1.2.1",
        "Pages are in the first language of ui_locales that is supported, and none of them is an error.",
    ),
    Requirement("page-language", "WCAG 2.2 3.1.1", "A page names the language that its texts are in."),
    Requirement("pages-accessible", "issue 3", "Every page fits a phone, in light and dark, and axe finds nothing."),
    Requirement(
        "forget-advice", "issue 3", "Whoever comes with an unknown client reads how each app forgets its registration."
    ),
    Requirement(
        "consent-imitation",
        "CLIENTS.md, issue 3",
        "A name that reads like a known product's is warned of where the answer goes to somebody else's address.",
    ),
]

RESOURCE: list[Requirement] = [
    Requirement(
        "resource-refuses-bad-tokens",
        "RFC 6750 3.1; RFC 9068 4",
        "A token that is expired, revoked, forged, or of another kind is answered with 401 and invalid_token.",
    ),
    Requirement("resource-audience", "RFC 8707 2; MCP authorization", "A resource accepts only tokens for itself."),
    Requirement(
        "resource-token-in-header-only",
        "MCP authorization, Access Token Usage",
        "Access tokens are read from the Authorization header, never from the query string or the body.",
    ),
    Requirement(
        "resource-one-challenge-for-all-scopes",
        "RFC 6750 3.1; MCP authorization, Scope Challenge Handling",
        "Too little scope is answered with 403 and one challenge that names every scope that the call needs.",
    ),
    Requirement(
        "resource-scopes-of-tools",
        "MCP authorization, Scope Challenge Handling",
        "A tool with scopes of its own is not called without them, whatever the headers say that the body calls.",
    ),
    Requirement(
        "remote-journey",
        "issue 6",
        "A client finds a server in another process, logs in and is stepped up, and its tools call the provider.",
    ),
    Requirement(
        "remote-other-languages",
        "issue 6",
        "What the documentation has for other libraries refuses what ours does, and treats an outage as one.",
    ),
    Requirement(
        "remote-metadata", "RFC 9728 3", "A resource elsewhere serves its own metadata, at its own host, to everybody."
    ),
    Requirement(
        "remote-idp-tokens",
        "issue 6",
        "A resource elsewhere gets the provider's token for its own living tokens, and tells a login from an outage.",
    ),
    Requirement(
        "resource-scopes-of-methods",
        "issue 6; MCP authorization, Scope Challenge Handling",
        "An HTTP or JSON-RPC method with scopes of its own is not served without them.",
    ),
    Requirement(
        "resource-header-mismatch",
        "MCP transports 2026-07-28, Streamable HTTP",
        "A call whose Mcp-Method or Mcp-Name disagrees with its body is refused with 400, where scopes depend on it.",
    ),
    Requirement(
        "resource-one-reading",
        "RFC 8259 4, 8.1",
        "A body that two parsers might read differently is refused, where scopes depend on it.",
    ),
    Requirement(
        "resource-implied-scopes",
        "issue 6",
        "A token passes where a scope is needed that one of its own implies, and names no more than was approved.",
    ),
    Requirement(
        "remote-revocation",
        "issue 4, DESIGN.md 4",
        "A resource elsewhere that introspects refuses what was revoked, at once or within the time it was given.",
    ),
    Requirement(
        "resource-fails-closed",
        "RFC 9110 15.6.4",
        "While the database cannot say whether a token lives, the answer is 503 with Retry-After and never an access.",
    ),
    Requirement(
        "resource-checks-origin",
        "MCP transports, Streamable HTTP, security warning",
        "A request of a web page whose origin is not allowed is answered with 403.",
    ),
    Requirement(
        "resource-one-query",
        "DESIGN 1",
        "Verifying a token reads one row, and writes one only when tokens of a generation are first seen.",
    ),
    Requirement(
        "resource-metadata",
        "RFC 9728 2 and 3.1",
        "Each resource has metadata below its well-known path, which name it, its issuer and its scopes.",
    ),
    Requirement(
        "resource-options-needs-no-token",
        "Fetch, CORS preflight",
        "OPTIONS is answered without a token, and nothing protected runs for it.",
    ),
    Requirement(
        "resource-sessions-have-an-owner",
        "MCP security best practices, Session Hijacking",
        "A session of the mcp SDK can be used only by the client and user that opened it.",
    ),
]

UPSTREAM: list[Requirement] = [
    Requirement(
        "upstream-code-flow",
        "OpenID Connect Core 3.1.2.1; RFC 7636; RFC 9700 2.1.1",
        "A login is a code flow with PKCE by S256, a state and a nonce, and never names our resource.",
    ),
    Requirement("upstream-browser", "RFC 9700 4.7; issue 5", "A login ends only in the browser that began it."),
    Requirement("upstream-state-once", "RFC 9700 4.7; issue 5", "A state is good for one callback."),
    Requirement("upstream-failed-state", "FAULTS.md 10", "The state of a login that failed cannot be used again."),
    Requirement("upstream-session-key", "OWASP session management; issue 5", "The session key changes at each login."),
    Requirement(
        "upstream-iss-parameter", "RFC 9207 2.4", "An answer of another issuer is refused before its code is used."
    ),
    Requirement(
        "upstream-error-to-client",
        "RFC 6749 4.1.2.1; issue 5",
        "A login that fails ends in the matching OAuth error at the client.",
    ),
    Requirement(
        "upstream-id-token",
        "OpenID Connect Core 3.1.3.7",
        "An ID token that fails any check logs nobody in, and the log names the check.",
    ),
    Requirement(
        "upstream-algorithms",
        "RFC 8725 3.1, 3.2; OpenID Connect Core 3.1.3.7",
        "An ID token is signed with an asymmetric algorithm of the metadata.",
    ),
    Requirement(
        "upstream-auth-time",
        "OpenID Connect Core 3.1.2.1, 3.1.3.7",
        "Where max_age was asked for, auth_time is there and recent enough.",
    ),
    Requirement(
        "upstream-userinfo-sub", "OpenID Connect Core 5.3.2", "Userinfo of another sub than the ID token's is not used."
    ),
    Requirement(
        "upstream-userinfo-adds",
        "DESIGN.md 4",
        "Userinfo adds claims, overrides none and tells nothing about the login.",
    ),
    Requirement(
        "upstream-userinfo-signed",
        "OpenID Connect Core 5.3.2",
        "Signed userinfo is verified: its signature by an algorithm of the metadata, its issuer and its audience.",
    ),
    Requirement(
        "upstream-failed-check",
        "issue 5",
        "A failed check is a page for the person, an error for the client, an event, and a log line that names it.",
    ),
    Requirement(
        "upstream-presets", "issue 5", "A login, a refresh and custom data work with the shapes of each named provider."
    ),
    Requirement(
        "upstream-tenants",
        "OpenID Connect Core 3.1.3.7; issue 5",
        "Behind an issuer of several tenants, only accounts of those named log in, each by its own issuer.",
    ),
    Requirement(
        "upstream-hosted-domain", "issue 5", "A Google account of another domain than the one named is refused."
    ),
    Requirement(
        "upstream-email-verified", "DESIGN.md 4", "An address is verified only by a word about that very address."
    ),
    Requirement(
        "upstream-issuer",
        "OpenID Connect Discovery 4.3",
        "Metadata is used only if it names the issuer that is configured.",
    ),
    Requirement(
        "upstream-https",
        "OpenID Connect Discovery 3; issue 5",
        "An endpoint of the provider is https, except on loopback.",
    ),
    Requirement(
        "upstream-client-authentication",
        "OpenID Connect Core 9; RFC 6749 2.3.1",
        "We authenticate by a method that the provider's metadata offers.",
    ),
    Requirement(
        "upstream-key-rotation",
        "OpenID Connect Core 10.1.1; FAULTS.md 12",
        "A key that the provider rotated is fetched when a token names it.",
    ),
    Requirement(
        "upstream-key-cooldown",
        "FAULTS.md 12; issue 5",
        "Made-up key ids cause one fetch of the keys in thirty seconds.",
    ),
    Requirement(
        "upstream-stale", "FAULTS.md 8; issue 5", "A failed fetch is tried again after a few seconds, and not before."
    ),
    Requirement(
        "upstream-faults",
        "FAULTS.md 9, 10; issue 5",
        "Whatever the provider answers, a login ends in time, in the right error, with nothing kept.",
    ),
    Requirement(
        "upstream-metadata",
        "issue 5",
        "Metadata that is set by hand is checked as a fetched one, and nothing is fetched in its place.",
    ),
    Requirement(
        "upstream-renewal",
        "issue 5",
        "Metadata and keys are fetched anew beside the requests, and are no older than ten minutes without an outage.",
    ),
    Requirement(
        "upstream-private-key-jwt",
        "RFC 7523 3; OpenID Connect Core 9",
        "Our assertions are signed, short-lived, for the token endpoint alone, and each is sent once.",
    ),
    Requirement(
        "upstream-retry", "RFC 9110 9.2.2; issue 5", "A GET is tried twice at most, within its time, and a POST once."
    ),
    Requirement(
        "upstream-idle-connection",
        "RFC 9112 9.3.1",
        "A request that cannot be repeated goes over no connection that died while it was idle.",
    ),
    Requirement("upstream-proxy", "issue 5", "The provider is reached by the proxy that is set, and by no other."),
    Requirement("upstream-ca-bundle", "issue 5", "A private authority is trusted where it is set, and only there."),
    Requirement(
        "upstream-hanging",
        "FAULTS.md 9; issue 5",
        "A provider that hangs holds few threads, and other requests are answered meanwhile.",
    ),
    Requirement("upstream-netrc", "RFC 6750 2.1", "A password of ~/.netrc does not replace our credentials."),
    Requirement("login-other-account", "issue 5", "Whoever was refused can log in with another account."),
    Requirement("admin-login", "issue 5", "Staff reach the Django admin by the provider; others get a page, no loop."),
    Requirement("admin-login-passwords", "issue 5", "The admin takes passwords only where the project keeps its form."),
    Requirement("upstream-backend-passwords", "DESIGN.md 4", "The backend takes no password."),
    Requirement(
        "upstream-session-counts", "DESIGN.md 4", "With an UPSTREAM, only a login at that provider and issuer counts."
    ),
    Requirement(
        "upstream-refresh-margin",
        "issue 5",
        "IdP tokens are refreshed within a minute of their end, or a tenth of their lifetime.",
    ),
    Requirement(
        "upstream-refresh-once", "issue 5", "However many ask at the same time, expired IdP tokens are refreshed once."
    ),
    Requirement(
        "upstream-refresh-rotation", "RFC 6749 6; issue 5", "A refresh token that the provider rotated is kept."
    ),
    Requirement(
        "upstream-refresh-sub",
        "OpenID Connect Core 12.2",
        "An ID token that a refresh brings is of the same issuer and sub.",
    ),
    Requirement(
        "upstream-refresh-outage",
        "FAULTS.md 10; issue 5",
        "An outage is bridged by the access token that is still good.",
    ),
    Requirement(
        "revalidation",
        "issue 5, FAULTS.md 13",
        "The provider is asked at refreshes that fall due, once for each user, and its refusal ends their connections.",
    ),
    Requirement(
        "revalidation-outage",
        "issue 5, FAULTS.md 9 and 10",
        "An outage of the provider ends nothing and holds nobody up; only a strict policy answers 503 meanwhile.",
    ),
    Requirement(
        "idp-revocation",
        "RFC 7009; issue 5",
        "With a user's last connection our refresh token at the provider ends, and not while it may be needed.",
    ),
    Requirement(
        "idp-tokens-across-processes",
        "issue 5",
        "50 parallel tool calls over two processes make one refresh at the provider, and all succeed.",
    ),
    Requirement(
        "upstream-refresh-issuer",
        "RFC 6749 10.4",
        "A refresh token is sent to the provider that issued it and to no other.",
    ),
    Requirement(
        "upstream-logout",
        "OpenID Connect RP-Initiated Logout 2",
        "Logout ends the session here and leads to the provider's logout.",
    ),
    Requirement(
        "login-session",
        "issue 5",
        "A login at the provider counts in a browser as long as nobody has ended it, whatever Django's session says.",
    ),
    Requirement(
        "backchannel-logout",
        "OpenID Connect Back-Channel Logout 1.0 2.7; issue 5",
        "A logout at the provider ends the sessions, grants and tokens of that session or user, and of nobody else.",
    ),
    Requirement(
        "backchannel-logout-checked",
        "OpenID Connect Back-Channel Logout 1.0 2.6",
        "Nothing but a fresh logout token, signed by the provider for us, is taken for one.",
    ),
    Requirement(
        "backchannel-logout-once",
        "OpenID Connect Back-Channel Logout 1.0 2.6; issue 5",
        "A logout token is taken once across all processes, and is not used up where it could not be carried out.",
    ),
]

MODELS = [
    Requirement(
        "migrate-in-any-order", "issue 2", "A first migrate works on every database, whatever the order of the apps."
    ),
    Requirement("migrate-own-models", "issue 2", "A project may have its own user model and its own client model."),
    Requirement("ids-have-case", "NEIGHBOURS.md", "Ids that differ only in case are told apart on every database."),
    Requirement(
        "cleanup-spares-the-living",
        "NEIGHBOURS.md",
        "No cleanup command deletes a client that somebody is connected with.",
    ),
]

ADMIN = [
    Requirement("admin-revokes-at-once", "issue 2", "What an operator revokes is refused from the next request on."),
    Requirement(
        "admin-asks-first",
        "issue 2",
        "An action says how many users lose access, and does nothing until it is confirmed.",
    ),
    Requirement(
        "admin-shows-no-secret", "issue 2", "No page of the admin shows a secret, a hash, a salt or a payload."
    ),
    Requirement(
        "dashboard-bounded",
        "issue 7",
        "The dashboard takes as many queries with many rows as with few, and six at most.",
    ),
    Requirement(
        "dashboard-permission", "issue 7", "The dashboard shows nobody what the other pages would not show them."
    ),
    Requirement("cleanup-is-recorded", "issue 7", "Each cleanup that ends, well or not, is an event."),
    Requirement("replay-is-recorded", "issue 7", "Each code or token that is used again is an event."),
    Requirement("admin-tombstone", "CLIENTS.md", "The id of a deleted client is kept, and refused, for good."),
    Requirement("admin-is-recorded", "DESIGN.md 1", "A decision in the admin is an event that names the operator."),
    Requirement("admin-support", "issue 7", "Support staff see everything and take access away, and give none."),
    Requirement("admin-secret-replaced", "issue 7", "A replaced secret is refused at once, the new one is shown once."),
    Requirement("admin-trust", "issue 7", "A trust that an operator gives never undoes a block or a deletion."),
    Requirement(
        "admin-users", "issue 7", "What a person has here and at the IdP can be ended, or asked about, at once."
    ),
    Requirement("admin-bounded", "issue 7", "A page of the admin takes as many queries for many rows as for few."),
    Requirement("admin-text-is-inert", "CLIENTS.md", "What a client says of itself is shown as text and no more."),
]

CHECKS = [
    Requirement(
        "checks-forgotten-line", "DESIGN.md 3", "A line that was forgotten is named by a check with that line."
    ),
    Requirement(
        "checks-wrong-value", "STYLE.md", "A wrong value has a check with its own ID and a value that is right."
    ),
    Requirement("checks-tell-no-key", "STYLE.md", "No check repeats anything of a key that cannot be used."),
]

REGISTRATION = [
    Requirement(
        "registration-keys",
        "RFC 7591 2",
        "A client registers public keys or where they are, never both, and nothing private.",
    ),
    Requirement(
        "registration-managed",
        "RFC 7592 2",
        "A client reads, replaces and deletes its registration with a token that nothing else opens.",
    ),
    Requirement("registration-token-rotates", "RFC 7592 3", "An update replaces the registration access token."),
    Requirement(
        "registration-tells-nothing",
        "RFC 7592 2.1",
        "Without its token nobody learns whether a client exists.",
    ),
    Requirement(
        "registration-limited",
        "RFC 7591 5, issue 3",
        "Registrations are limited by address and in all, and clients that are in use do not count.",
    ),
    Requirement("registration-blocked", "issue 3", "Who was blocked does not come back by registering again."),
    Requirement("registration-cheap", "NEIGHBOURS.md", "A registration takes at most four statements."),
    Requirement(
        "clients-expire",
        "issue 3",
        "Cleanup deletes what registered and is not used, and nothing that anybody uses or decided about.",
    ),
    Requirement(
        "redirect-goes-where-it-says",
        "issue 3; RFC 9700 4.1, 4.11",
        "A browser runs nothing of an accepted redirect URI, and sends the code to the host that was registered.",
    ),
]

# What the clients of CLIENTS.md need: each is replayed (tests/clients) or run as npm has it (tests/journeys/node).
CLIENTS = [
    Requirement(
        "clients-typescript-journey",
        "CLIENTS.md: TypeScript SDKs",
        "Both TypeScript SDKs log in, call a tool and come back on their refresh token.",
    ),
    Requirement(
        "clients-invalid-client",
        "CLIENTS.md: TypeScript sdk",
        "At the token endpoint an unknown client is told invalid_client, so that it registers again.",
    ),
    Requirement(
        "clients-invalid-grant",
        "CLIENTS.md: TypeScript sdk",
        "At the token endpoint a dead refresh token is an invalid_grant, so that the client logs in again.",
    ),
    Requirement(
        "clients-mcp-remote-journey",
        "CLIENTS.md: mcp-remote",
        "mcp-remote logs in, calls a tool and comes back on its refresh token.",
    ),
    Requirement("clients-mcp-remote-port", "CLIENTS.md: mcp-remote", "The callback port of mcp-remote may move."),
    Requirement("clients-authlab", "issue 3", "A scan by mcp-authlab is of grade A, and nothing fails."),
    Requirement(
        "clients-refresh-retried",
        "CLIENTS.md: complaints",
        "Refreshes that run at the same time or are repeated end no session.",
    ),
    Requirement(
        "clients-weeks", "CLIENTS.md: complaints", "A connection that is used now and then needs no daily login."
    ),
    Requirement("clients-restart", "CLIENTS.md: complaints", "No client and no token is lost at a restart."),
    Requirement("clients-identical-registrations", "CLIENTS.md: complaints", "Identical registrations do not pile up."),
    Requirement(
        "clients-deleted-id",
        "CLIENTS.md: complaints",
        "A client that was deleted is told so, and its user how to get out of it.",
    ),
    Requirement(
        "clients-form-action", "CLIENTS.md: complaints", "A site-wide form-action does not kill the consent button."
    ),
    Requirement(
        "clients-consent-twice", "CLIENTS.md: complaints", "A consent page that was fetched twice works twice."
    ),
    Requirement(
        "clients-slashes",
        "CLIENTS.md: complaints",
        "Issuer and resource have one spelling, and another one is refused.",
    ),
    Requirement("clients-entra", "CLIENTS.md: complaints", "The resource is not forwarded to the identity provider."),
    Requirement(
        "clients-idp-outage", "CLIENTS.md: complaints", "An outage of the identity provider is never an invalid_grant."
    ),
    Requirement(
        "clients-revocation-stays-here",
        "CLIENTS.md: complaints",
        "Revocation sends no token of ours to the identity provider.",
    ),
    Requirement(
        "clients-trusted-name",
        "CLIENTS.md: complaints",
        "A client that takes the name of a known product does not look trusted.",
    ),
    Requirement("advertised-endpoints", "issue 3, RFC 8414 2", "Every endpoint that is listed is there."),
    Requirement("advertised-grants", "issue 3, RFC 8414 2", "A grant type works if and only if it is listed."),
    Requirement(
        "advertised-methods",
        "issue 3, RFC 8414 2",
        "An authentication method works if and only if it is listed for the endpoint.",
    ),
    Requirement(
        "advertised-requests",
        "issue 3, RFC 8414 2",
        "A form of authorization request works if and only if it is listed.",
    ),
    Requirement(
        "advertised-prompts",
        "issue 3, Initiating User Registration via OpenID Connect 4",
        "Each prompt that is listed does what it means.",
    ),
    Requirement(
        "advertised-scopes",
        "issue 3, RFC 8414 2, RFC 9728 4",
        "The scopes and resources that are listed can be had, and no others.",
    ),
    Requirement(
        "advertised-algorithms",
        "OpenID Connect Discovery 3",
        "ID tokens are signed by a listed algorithm with a published key.",
    ),
    Requirement(
        "clients-python-discovery",
        "CLIENTS.md: Python SDK",
        "A well-known path that is none of ours is not found, and never a failure.",
    ),
    Requirement(
        "clients-python-resource",
        "CLIENTS.md: Python SDK",
        "The resource of the metadata is the MCP URL, is taken verbatim, and becomes the audience.",
    ),
    Requirement(
        "clients-python-scopes",
        "CLIENTS.md: Python SDK",
        "No document offers offline_access, for which users would be asked at each login.",
    ),
    Requirement(
        "clients-python-registration",
        "CLIENTS.md: Python SDK",
        "A registration without a method is answered with none, one with a method by that and its secret.",
    ),
    Requirement(
        "clients-python-basic",
        "CLIENTS.md: Python SDK",
        "Basic credentials may be percent-encoded, with the id in the body too.",
    ),
    Requirement(
        "clients-python-refresh", "CLIENTS.md: Python SDK", "A refresh is answered with 200 and a whole token set."
    ),
    Requirement("clients-python-step-up", "CLIENTS.md: Python SDK", "One step-up for the union of scopes is enough."),
    Requirement(
        "clients-no-redirects", "CLIENTS.md: Python SDK", "No endpoint redirects to another spelling of itself."
    ),
    Requirement(
        "clients-iss",
        "CLIENTS.md: Python SDK, TypeScript client",
        "The iss that is advertised is in every authorization response, errors included.",
    ),
    Requirement(
        "clients-no-null",
        "CLIENTS.md: TypeScript sdk",
        "No answer that a client reads holds a null or an empty string.",
    ),
    Requirement(
        "clients-typescript-registration",
        "CLIENTS.md: TypeScript sdk",
        "A registration is answered with an id and its redirect URIs, and no empty member comes back.",
    ),
    Requirement(
        "clients-typescript-metadata",
        "CLIENTS.md: TypeScript sdk",
        "Both metadata documents have all that the SDKs require of them.",
    ),
    Requirement(
        "clients-typescript-basic",
        "CLIENTS.md: TypeScript sdk",
        "Ids and secrets are URL-safe, so that Basic credentials work without encoding.",
    ),
    Requirement(
        "clients-preflight", "CLIENTS.md: TypeScript sdk", "A preflight allows every header that MCP clients send."
    ),
    Requirement(
        "clients-typescript-issuer",
        "CLIENTS.md: TypeScript client",
        "The issuer is one string in every document and answer, with no slash of its own.",
    ),
    Requirement(
        "clients-offline-access",
        "CLIENTS.md: TypeScript client",
        "A refresh token needs no offline_access, and asking for it is no error.",
    ),
    Requirement("clients-mcp-remote-method", "CLIENTS.md: mcp-remote", "The method none is the first that is offered."),
    Requirement(
        "clients-mcp-remote-scope",
        "CLIENTS.md: mcp-remote",
        "The scope openid email profile is granted, and what the resource needs is added.",
    ),
    Requirement("clients-claude", "CLIENTS.md: Claude", "Claude on web and desktop connects by either callback."),
    Requirement(
        "clients-claude-code", "CLIENTS.md: Claude Code", "A loopback redirect without a port is good with any."
    ),
    Requirement(
        "clients-few-addresses",
        "CLIENTS.md: Claude",
        "Users of a product that share an address do not lock each other out.",
    ),
    Requirement(
        "clients-chatgpt-state", "CLIENTS.md: ChatGPT", "A state of more than 520 characters comes back as it was."
    ),
    Requirement(
        "clients-vs-code",
        "CLIENTS.md: VS Code",
        "Its four redirects are registered together, any port is good, and the resource is the MCP URL.",
    ),
    Requirement(
        "clients-cursor",
        "CLIENTS.md: Cursor",
        "Its own scheme is good, whatever application type it names, and loopback is too.",
    ),
    Requirement("clients-windsurf", "CLIENTS.md: Windsurf", "Its own scheme is good, and loopback is too."),
    Requirement(
        "real-identity-providers",
        "issue 5",
        "A whole journey works at two identity providers that others wrote: by basic, post, a signature and no secret,"
        " with RS256 and ES256, rotating refresh tokens and others, and an address in userinfo alone.",
    ),
    Requirement(
        "idp-takes-access-away",
        "issue 5",
        "Whom the identity provider has disabled loses access at the next refresh, and at once by back-channel logout;"
        " nobody else does.",
    ),
]

FAULTS = [
    Requirement(
        "killed-server",
        "FAULTS.md 1, 2",
        "A server that is killed costs a client one retry, and a user another approval only where a code was used.",
    ),
    Requirement(
        "graceful-stop",
        "FAULTS.md 3",
        "A server that is stopped finishes what it has begun, notes what it has seen, and ends within 10 seconds.",
    ),
    Requirement(
        "killed-consent",
        "FAULTS.md 4",
        "A consent whose answer died with the server can be sent again, and never has two codes.",
    ),
    Requirement(
        "sqlite-locked",
        "FAULTS.md 6",
        "Who waits for a lock in vain gets a 503 in bounded time, and nobody waits for it who only reads.",
    ),
    Requirement(
        "started-together",
        "FAULTS.md 17",
        "Processes that start together on an empty database migrate it once and sign with one key.",
    ),
    Requirement(
        "keys-rotated-under-load",
        "FAULTS.md 18",
        "A key is published by every process before one signs with it, and its rotation costs no client anything.",
    ),
    Requirement("lost-answers", "issue 4", "Lost answers and races leave no client stranded and no orphan row."),
    Requirement("revocation-everywhere", "FAULTS.md 19", "What one process revokes is refused by the others at once."),
    Requirement(
        "dump-holds-no-secret",
        "DESIGN.md 4, issue 4",
        "The dump of a database holds no token, code, secret or verifier, in whatever encoding.",
    ),
    Requirement("rows-do-not-grow", "DESIGN.md 1", "However often a connection is refreshed, it is one row."),
    Requirement(
        "thirty-days",
        "issue 4, DESIGN.md 4",
        "Restarts, rotations of keys, parallel refreshes, lost answers and outages log nobody out.",
    ),
    Requirement(
        "revocation-every-kind",
        "issue 4",
        "Each way of taking access away is felt at the next request, and by nobody else.",
    ),
]

REQUIREMENTS = [
    *PROTOCOL,
    *CORE,
    *SERVER,
    *PAGES,
    *RESOURCE,
    *UPSTREAM,
    *MODELS,
    *ADMIN,
    *CHECKS,
    *REGISTRATION,
    *CLIENTS,
    *FAULTS,
]
