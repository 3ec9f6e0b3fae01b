"""What most tests begin with. Each fixture builds something valid; a test changes one thing about it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import lru_cache

import pytest
from django.contrib.auth import get_user_model
from django.contrib.auth.base_user import AbstractBaseUser
from django.core.cache import cache
from django.core.management.color import Style
from django.core.management.commands import flush
from django.db.backends.base.base import BaseDatabaseWrapper
from hypothesis import settings as hypothesis_settings
from joserfc.jwk import Key, import_key

from mcp_oidc.core import checked_tokens, clients, keys, living_cache, outages, tallies
from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import Registration
from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.issuing import redeem_code
from mcp_oidc.core.key_rotation import save_key
from mcp_oidc.core.token_sets import TokenSet
from mcp_oidc.models import AbstractClient, Identity
from mcp_oidc.protocol import jwks
from mcp_oidc.protocol.client_metadata import ClientMetadata
from mcp_oidc.protocol.jwks import SigningJwk, generate_jwk
from mcp_oidc.upstream import bulkhead, documents, refresh, revalidation
from mcp_oidc.upstream.idp_revocation import wait_for_revocations
from mcp_oidc.upstream.vain_waits import VainWaits
from tests.factories import ISSUER, Opened, make_metadata, open_for

# A machine that is busy with something else is not a failure.
hypothesis_settings.register_profile("tests", deadline=None)
hypothesis_settings.load_profile("tests")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tests too: races, kills, soak, conformance")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.getoption("--long"):
        return
    # The README's command has to end within three minutes. Nothing is lost by it: CI gives --long.
    for item in items:
        if "long" in item.keywords:
            item.add_marker(pytest.mark.skip(reason="a long test: give --long"))


@pytest.fixture(scope="session", autouse=True)
def _parsed_keys() -> Iterator[None]:
    """Parsing a private RSA key takes 25 ms, and each test that signs would parse the same one again."""
    parse: Callable[[str], Key] = lru_cache(maxsize=64)(lambda text: import_key(json.loads(text)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(jwks, "import_key", lambda members: parse(json.dumps(members)))
        yield


@pytest.fixture(scope="session", autouse=True)
def _patience() -> Iterator[None]:
    """A provider that is as busy as this machine does not hang. Tests of one that does set these for themselves."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(revalidation, "LENIENT_SECONDS", 30.0)
        patch.setattr(bulkhead, "SLOW_SECONDS", 30.0)
        patch.setattr(documents, "PATIENCE", 30.0)
        patch.setattr(refresh, "OVERDUE_SECONDS", 30.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _tallies_on_demand() -> Iterator[None]:
    """What one test counted is not written in the middle of another, but where a test flushes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tallies, "FLUSH_SECONDS", 3600.0)
        yield


@pytest.fixture(scope="session", autouse=True)
def _light_flushes() -> Iterator[None]:
    """After a test that commits Django empties all tables, and makes content types and permissions anew: they stay."""
    kept = {"django_content_type", "auth_permission"}

    def sql_flush(style: Style, connection: BaseDatabaseWrapper, **options: bool) -> list[str]:
        names = set(connection.introspection.django_table_names(only_existing=True, include_views=False)) - kept
        if connection.vendor == "postgresql":
            # Truncating so many tables takes longer than most tests. Foreign keys are checked when this is committed.
            return [f"DELETE FROM {connection.ops.quote_name(name)}" for name in names]  # noqa: S608  # names of tables
        return connection.ops.sql_flush(style, sorted(names), **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(flush, "sql_flush", sql_flush)
        patch.setattr(flush, "emit_post_migrate_signal", lambda *args, **options: None)
        yield


@pytest.fixture(autouse=True)
def _empty_process_caches() -> Iterator[None]:
    """A test must not meet the keys or cache entries of the one before, whose rows are gone."""
    keys.forget_keys()
    checked_tokens.forget_checked()
    living_cache.forget_living()
    outages.forget_outages()
    revalidation._patience = revalidation._Patience()
    refresh._vain = VainWaits()
    cache.clear()
    yield
    keys.forget_keys()


@pytest.fixture(autouse=True)
def _nothing_goes_on() -> Iterator[None]:
    """What threads do for a test beside its requests ends before its rows do, and is not in the log of the next one."""
    yield
    assert wait_for_revocations(30)
    assert revalidation.wait_for_answers(30)
    tallies.forget_counts()


@pytest.fixture
def caller() -> Caller:
    return Caller(address="192.0.2.7", agent="tests/1.0")


@pytest.fixture
def client_metadata() -> ClientMetadata:
    """What a desktop client registers: public, on a loopback redirect."""
    return make_metadata()


@pytest.fixture
def public_client(db: None, client_metadata: ClientMetadata, caller: Caller) -> AbstractClient:
    return clients.register(client_metadata, caller=caller).client


@pytest.fixture
def confidential_client(db: None, caller: Caller) -> Registration:
    """A registered client with its secret: `.client` and `.secret`."""
    return clients.register(make_metadata(token_endpoint_auth_method="client_secret_basic"), caller=caller)


@pytest.fixture
def user(db: None) -> AbstractBaseUser:
    return get_user_model().objects.create_user("alice", "alice@example.com", "a long password")


@pytest.fixture
def identity(user: AbstractBaseUser) -> Identity:
    return local_identity(user)


@pytest.fixture(scope="session")
def _signing_jwk() -> SigningJwk:
    """One RSA key for all tests: making one takes longer than most of them."""
    return generate_jwk("RS256")


@pytest.fixture
def signing_key(db: None, _signing_jwk: SigningJwk) -> SigningJwk:
    """The key that signs in this test, kept in the database."""
    save_key(_signing_jwk)
    return _signing_jwk


@pytest.fixture
def opened(public_client: AbstractClient, identity: Identity, signing_key: SigningJwk, caller: Caller) -> Opened:
    """A connection of the public client whose code has not been redeemed."""
    return open_for(public_client, identity, caller=caller)


@pytest.fixture
def token_set(opened: Opened, caller: Caller) -> TokenSet:
    """The first tokens of the opened connection."""
    return redeem_code(opened.request, opened.client, issuer=ISSUER, caller=caller)
