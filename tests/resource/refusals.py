"""The table of what is refused, and how: one row each, for every entry point."""

from __future__ import annotations

import time
from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import rsa
from django.db.models.functions import Now

from mcp_oidc.core.clients import clients
from mcp_oidc.core.revocation import revoke_connection
from mcp_oidc.models import AbstractClient, Connection
from tests.resource import forgery
from tests.resource.worlds import World

ATTACKER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def expired(world: World) -> str:
    now = int(time.time())
    return world.signed(claims={"iat": now - 7200, "exp": now - 3600})


def from_the_future(world: World) -> str:
    return world.signed(claims={"iat": int(time.time()) + 3600, "exp": int(time.time()) + 7200})


def revoked(world: World) -> str:
    revoke_connection(Connection.objects.get(pk=world.claims["sid"]).pk, "test")
    return world.access_token


def connection_gone(world: World) -> str:
    Connection.objects.filter(pk=world.claims["sid"]).delete()
    return world.access_token


def user_disabled(world: World) -> str:
    world.identity.user.is_active = False
    world.identity.user.save()
    return world.access_token


def user_deleted(world: World) -> str:
    world.identity.user.delete()
    return world.access_token


def client_blocked(world: World) -> str:
    clients().filter(pk=world.client.pk).update(trust=AbstractClient.Trust.BLOCKED)
    return world.access_token


def client_deleted(world: World) -> str:
    clients().filter(pk=world.client.pk).update(deleted_at=Now())
    return world.access_token


def for_another_resource(world: World) -> str:
    return world.plain_tokens.access_token


def for_two_resources(world: World) -> str:
    return world.signed(claims={"aud": [world.claims["aud"], "https://elsewhere.example/mcp"]})


def of_another_issuer(world: World) -> str:
    return world.signed(claims={"iss": "https://elsewhere.example"})


def id_token(world: World) -> str:
    assert world.tokens.id_token is not None
    return world.tokens.id_token


def id_token_for_the_resource(world: World) -> str:
    return world.signed(header={"typ": "JWT"}, claims={"aud": world.claims["aud"]})


def refresh_token(world: World) -> str:
    assert world.tokens.refresh_token is not None
    return world.tokens.refresh_token


def idp_token(world: World) -> str:
    claims = {
        "iss": "https://idp.example",
        "sub": "248289761001",
        "aud": "our-client-id",
        "exp": int(time.time()) + 600,
    }
    return forgery.forge({"alg": "RS256", "kid": "idp-1", "typ": "at+jwt"}, claims, ATTACKER)


def unsigned(world: World) -> str:
    return forgery.forge_unsigned({**world.header, "alg": "none"}, world.claims)


def signature_cut_off(world: World) -> str:
    return world.access_token.rpartition(".")[0] + "."


def signed_with_our_public_key(world: World) -> str:
    header = {**world.header, "alg": "HS256"}
    return forgery.forge_with_public_key(header, world.claims, forgery.private_key_of(world.key))


def signed_by_somebody_else(world: World) -> str:
    return forgery.forge(world.header, world.claims, ATTACKER)


def payload_changed(world: World) -> str:
    header, _, signature = world.access_token.split(".")
    payload = forgery.forge_unsigned(world.header, {**world.claims, "scope": "mcp admin"}).split(".")[1]
    return f"{header}.{payload}.{signature}"


def unknown_key(world: World) -> str:
    return forgery.forge({**world.header, "kid": "nobody's"}, world.claims, ATTACKER)


def no_key_named(world: World) -> str:
    header = {name: value for name, value in world.header.items() if name != "kid"}
    return forgery.forge(header, world.claims, forgery.private_key_of(world.key))


def key_named_by_a_number(world: World) -> str:
    return world.signed(header={"kid": 7})


def own_key_embedded(world: World) -> str:
    return forgery.forge({**world.header, "jwk": forgery.public_jwk_of(ATTACKER)}, world.claims, ATTACKER)


def own_key_embedded_without_kid(world: World) -> str:
    header = {"alg": "RS256", "typ": "at+jwt", "jwk": forgery.public_jwk_of(ATTACKER)}
    return forgery.forge(header, world.claims, ATTACKER)


def own_keys_linked(world: World) -> str:
    return forgery.forge({**world.header, "jku": "https://attacker.example/jwks"}, world.claims, ATTACKER)


def critical_header(world: World) -> str:
    return world.signed(header={"crit": ["exp"], "exp": 1})


def payload_not_encoded(world: World) -> str:
    return world.signed(header={"crit": ["b64"], "b64": False})


def wrong_type(world: World) -> str:
    return world.signed(header={"typ": "logout+jwt"})


def no_type(world: World) -> str:
    header = {name: value for name, value in world.header.items() if name != "typ"}
    return forgery.forge(header, world.claims, forgery.private_key_of(world.key))


def another_subject(world: World) -> str:
    return world.signed(claims={"sub": "00000000-0000-4000-8000-000000000000"})


def another_client(world: World) -> str:
    return world.signed(claims={"client_id": "somebody-else"})


def generation_never_issued(world: World) -> str:
    return world.signed(claims={"gen": 99})


def not_a_jwt(world: World) -> str:
    return "0123456789abcdef"


def very_long(world: World) -> str:
    return "a" * 20_000


# What the token itself gives away: refused wherever it is verified, by whatever means.
BAD_TOKENS: tuple[Callable[[World], str], ...] = (
    expired,
    from_the_future,
    for_another_resource,
    for_two_resources,
    of_another_issuer,
    id_token,
    id_token_for_the_resource,
    refresh_token,
    idp_token,
    unsigned,
    signature_cut_off,
    signed_with_our_public_key,
    signed_by_somebody_else,
    payload_changed,
    unknown_key,
    no_key_named,
    key_named_by_a_number,
    own_key_embedded,
    own_key_embedded_without_kid,
    own_keys_linked,
    critical_header,
    payload_not_encoded,
    wrong_type,
    no_type,
    not_a_jwt,
    very_long,
)

# What only the database knows.
DEAD_TOKENS: tuple[Callable[[World], str], ...] = (
    revoked,
    connection_gone,
    user_disabled,
    user_deleted,
    client_blocked,
    client_deleted,
    another_subject,
    another_client,
    generation_never_issued,
)
