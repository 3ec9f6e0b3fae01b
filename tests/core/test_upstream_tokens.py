"""The IdP's token sets: encrypted, refreshed by whoever holds the lease, never overwritten by an older one."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth import get_user_model
from django.utils import timezone

from mcp_oidc.core.identities import local_identity
from mcp_oidc.core.upstream_tokens import (
    KEEP_SECONDS,
    IdpTokens,
    forget_tokens,
    keep_tokens,
    lease_seconds,
    read_tokens,
    release_lease,
    replace_tokens,
    take_lease,
)
from mcp_oidc.errors import UpstreamLoginRequired
from mcp_oidc.models import Identity, IdpTokenSet
from tests.core.parallel import in_parallel
from tests.core.passing import let_pass

pytestmark = pytest.mark.django_db

TOKENS = IdpTokens(
    access_token="idp-access-token",
    id_token="idp-id-token",
    refresh_token="idp-refresh-token",
    expires_at=datetime(2030, 1, 1, tzinfo=UTC),
    scopes=("openid", "email"),
)


@pytest.fixture
def kept(identity: Identity) -> Identity:
    keep_tokens(identity, TOKENS)
    return identity


def test_tokens_are_read_as_they_were_kept(kept: Identity) -> None:
    stored = read_tokens(kept.pk)
    assert stored.tokens == TOKENS
    assert (stored.version, stored.is_being_refreshed) == (1, False)
    assert abs(stored.now - timezone.now()) < timedelta(seconds=60)
    assert abs(stored.obtained_at - stored.now) < timedelta(seconds=10)


def test_tokens_may_lack_all_but_the_access_token(identity: Identity) -> None:
    keep_tokens(identity, IdpTokens("only"))
    assert read_tokens(identity.pk).tokens == IdpTokens("only")
    assert not IdpTokenSet.objects.get().has_refresh_token


@pytest.mark.requirement("encrypted-at-rest")
def test_tokens_lie_encrypted_and_show_in_no_log(kept: Identity) -> None:
    shown = str(IdpTokenSet.objects.values().get()) + repr(TOKENS) + repr(read_tokens(kept.pk))
    for secret in (TOKENS.access_token, TOKENS.id_token, TOKENS.refresh_token):
        assert str(secret) not in shown


def test_user_without_tokens_has_to_log_in(identity: Identity) -> None:
    with pytest.raises(UpstreamLoginRequired):
        read_tokens(identity.pk)


@pytest.mark.requirement("encrypted-at-rest")
def test_tokens_moved_to_another_user_open_for_nobody(kept: Identity) -> None:
    other = local_identity(get_user_model().objects.create_user("mallory"))
    keep_tokens(other, IdpTokens("mallory's"))
    IdpTokenSet.objects.filter(identity=other).update(payload=IdpTokenSet.objects.get(identity=kept).payload)
    with pytest.raises(UpstreamLoginRequired):
        read_tokens(other.pk)


def test_new_login_replaces_the_tokens(kept: Identity) -> None:
    keep_tokens(kept, replace(TOKENS, access_token="newer", refresh_token="newer refresh"))
    stored = read_tokens(kept.pk)
    assert (stored.tokens.access_token, stored.tokens.refresh_token, stored.version) == ("newer", "newer refresh", 2)


def test_login_without_a_refresh_token_keeps_the_one_that_we_have(kept: Identity) -> None:
    keep_tokens(kept, IdpTokens("newer"))
    stored = read_tokens(kept.pk).tokens
    assert (stored.access_token, stored.refresh_token) == ("newer", TOKENS.refresh_token)


def test_login_replaces_tokens_that_cannot_be_decrypted_any_more(kept: Identity, settings: LazySettings) -> None:
    settings.SECRET_KEY = "another"
    with pytest.raises(UpstreamLoginRequired):
        read_tokens(kept.pk)
    keep_tokens(kept, IdpTokens("newer"))
    assert read_tokens(kept.pk).tokens == IdpTokens("newer")


@pytest.mark.requirement("key-rotation")
def test_secret_key_rotated_through_fallbacks_keeps_the_tokens(kept: Identity, settings: LazySettings) -> None:
    settings.SECRET_KEY, settings.SECRET_KEY_FALLBACKS = "another", [settings.SECRET_KEY]
    assert read_tokens(kept.pk).tokens == TOKENS


@pytest.mark.requirement("idp-refresh-once")
def test_lease_has_one_holder_until_it_is_released_or_over(kept: Identity) -> None:
    stored = read_tokens(kept.pk)
    assert take_lease(stored)
    assert read_tokens(kept.pk).is_being_refreshed
    assert not take_lease(stored)
    release_lease(stored)
    assert take_lease(stored)
    let_pass(lease_seconds() - 5, IdpTokenSet.objects.get())
    assert not take_lease(stored)
    let_pass(6, IdpTokenSet.objects.get())
    assert not read_tokens(kept.pk).is_being_refreshed
    assert take_lease(stored)


def test_lease_is_for_the_version_that_was_read(kept: Identity) -> None:
    stored = read_tokens(kept.pk)
    replace_tokens(stored, TOKENS)
    assert not take_lease(stored)
    assert take_lease(read_tokens(kept.pk))


@pytest.mark.requirement("idp-refresh-once")
def test_refreshed_tokens_replace_what_they_came_from_and_nothing_newer(kept: Identity) -> None:
    before = read_tokens(kept.pk)
    take_lease(before)
    replace_tokens(before, replace(TOKENS, access_token="refreshed"))
    stored = read_tokens(kept.pk)
    assert (stored.tokens.access_token, stored.version, stored.is_being_refreshed) == ("refreshed", 2, False)
    # A process that slept through all that comes back with an older answer.
    replace_tokens(before, replace(TOKENS, access_token="older"))
    assert read_tokens(kept.pk).tokens.access_token == "refreshed"


def test_login_during_a_refresh_gets_the_refresh_token_that_the_provider_has_rotated(kept: Identity) -> None:
    before = read_tokens(kept.pk)
    keep_tokens(kept, IdpTokens("of the login"))
    replace_tokens(before, replace(TOKENS, access_token="refreshed", refresh_token="rotated"))
    stored = read_tokens(kept.pk)
    assert stored.tokens == IdpTokens("of the login", refresh_token="rotated")
    # Who has read it before must not write over it.
    assert stored.version == 3


def test_login_during_a_refresh_keeps_a_refresh_token_of_its_own(kept: Identity) -> None:
    before, newer = read_tokens(kept.pk), IdpTokens("of the login", refresh_token="its own")
    keep_tokens(kept, newer)
    replace_tokens(before, replace(TOKENS, refresh_token="rotated"))
    assert read_tokens(kept.pk).tokens == newer


def test_refreshed_tokens_do_not_replace_those_that_came_after_they_were_dropped(kept: Identity) -> None:
    before = read_tokens(kept.pk)
    forget_tokens(before)
    keep_tokens(kept, IdpTokens("of the login", refresh_token=TOKENS.refresh_token))
    assert read_tokens(kept.pk).version == before.version
    replace_tokens(before, replace(TOKENS, refresh_token="rotated"))
    assert read_tokens(kept.pk).tokens == IdpTokens("of the login", refresh_token=TOKENS.refresh_token)


def test_lease_lasts_longer_than_the_provider_may_take(settings: LazySettings) -> None:
    upstream = {"ISSUER": "https://idp.example", "CLIENT_ID": "x"}
    assert lease_seconds() > 10 + KEEP_SECONDS
    settings.MCP_OIDC = {**settings.MCP_OIDC, "UPSTREAM": {**upstream, "TIMEOUT": 60}}
    assert lease_seconds() > 60 + KEEP_SECONDS


def test_refused_tokens_are_forgotten_and_newer_ones_are_not(kept: Identity) -> None:
    refused = read_tokens(kept.pk)
    replace_tokens(refused, TOKENS)
    assert not forget_tokens(refused)
    assert read_tokens(kept.pk).version == 2
    assert forget_tokens(read_tokens(kept.pk))
    with pytest.raises(UpstreamLoginRequired):
        read_tokens(kept.pk)


def test_refusal_of_tokens_that_were_dropped_since_harms_no_later_ones(kept: Identity) -> None:
    refused = read_tokens(kept.pk)
    forget_tokens(refused)
    keep_tokens(kept, TOKENS)
    assert read_tokens(kept.pk).version == refused.version
    assert not forget_tokens(refused)
    assert read_tokens(kept.pk).tokens == TOKENS


def test_late_release_takes_the_lease_from_nobody(kept: Identity) -> None:
    late = read_tokens(kept.pk)
    take_lease(late)
    replace_tokens(late, TOKENS)
    present = read_tokens(kept.pk)
    assert take_lease(present)
    release_lease(late)
    assert not take_lease(present)


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("idp-refresh-once")
def test_eight_takers_at_once_get_one_lease(identity: Identity) -> None:
    keep_tokens(identity, TOKENS)
    stored = read_tokens(identity.pk)
    assert sorted(in_parallel(lambda: take_lease(stored))) == [False] * 7 + [True]


@pytest.mark.django_db(transaction=True)
def test_eight_logins_at_once_leave_one_whole_token_set(identity: Identity) -> None:
    names = iter([f"login {number}" for number in range(8)])
    in_parallel(lambda: keep_tokens(identity, replace(TOKENS, access_token=next(names))))
    assert read_tokens(identity.pk).tokens.access_token.startswith("login ")
    assert IdpTokenSet.objects.count() == 1
