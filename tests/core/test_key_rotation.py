"""Rotation of signing keys in the database: one chain, whoever adds to it, and states that follow from the time."""

from __future__ import annotations

from itertools import pairwise

import pytest
from django.conf import LazySettings
from django.db import IntegrityError

from mcp_oidc.core import key_rotation
from mcp_oidc.core.kept_keys import EXPIRED_KEY_LIFETIME, KeyState, kept_keys
from mcp_oidc.core.key_rotation import LEAD, delete_expired_keys, publish_key, replace_keys, save_key
from mcp_oidc.core.keys import find_key, forget_keys, key_ring
from mcp_oidc.models import Event, SigningKey
from mcp_oidc.protocol.jwks import SIGNING_ALGORITHMS, SigningJwk, generate_jwk
from tests.core.parallel import THREADS, in_parallel
from tests.core.passing import let_pass

HOUR = 3600
# A key that retires is kept for the lifetime of a token, and a little longer: for processes that had read the keys
# just before, and for clocks that differ.
LAST_TOKEN = HOUR + 70

FIRST, SECOND, THIRD = (generate_jwk("ES256") for _ in range(3))


def states() -> dict[str, KeyState]:
    return {each.row.kid: each.state for each in kept_keys()}


def wait(seconds: float) -> None:
    """Let time pass for all keys, and for what processes remember of them."""
    let_pass(seconds, *SigningKey.objects.all())
    forget_keys()


def assert_one_chain() -> None:
    """Each key signs later than the one before it, and the last that is due signs now."""
    kept = kept_keys()
    assert all(before.row.activates_at <= after.row.activates_at for before, after in pairwise(kept))
    found = [each.state for each in kept]
    assert found.count(KeyState.SIGNING) == 1
    assert found[-1] in (KeyState.SIGNING, KeyState.PUBLISHED)
    assert KeyState.PUBLISHED not in found[:-1]
    assert key_ring(max_age=0).signing.is_private


@pytest.mark.django_db
@pytest.mark.requirement("key-published-first")
@pytest.mark.requirement("key-rotation")
@pytest.mark.parametrize("algorithm", SIGNING_ALGORITHMS)
def test_key_is_published_then_signs_then_verifies_then_goes(signing_key: SigningJwk, algorithm: str) -> None:
    old, new = signing_key, generate_jwk(algorithm)
    assert publish_key(new)
    assert states() == {old.kid: KeyState.SIGNING, new.kid: KeyState.PUBLISHED}
    assert [key.kid for key in key_ring().keys] == [old.kid, new.kid]
    wait(LEAD - 5)
    assert key_ring().signing.kid == old.kid
    wait(5)
    assert states() == {old.kid: KeyState.VERIFYING, new.kid: KeyState.SIGNING}
    assert [key.kid for key in key_ring().keys] == [new.kid, old.kid]
    wait(LAST_TOKEN - 5)
    assert states()[old.kid] == KeyState.VERIFYING
    wait(5)
    assert states()[old.kid] == KeyState.EXPIRED
    wait(EXPIRED_KEY_LIFETIME - 5)
    assert delete_expired_keys() == 0
    wait(5)
    assert delete_expired_keys() == 1
    assert states() == {new.kid: KeyState.SIGNING}


@pytest.mark.django_db
def test_key_waits_as_long_as_its_tokens_may_live(signing_key: SigningJwk, settings: LazySettings) -> None:
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ACCESS_TOKEN_LIFETIME": 12 * HOUR}
    save_key(FIRST)
    wait(11 * HOUR + LAST_TOKEN - 5)
    assert states()[signing_key.kid] == KeyState.VERIFYING
    wait(5)
    assert states()[signing_key.kid] == KeyState.EXPIRED


@pytest.mark.django_db
def test_key_stays_where_the_lifetime_of_tokens_was_longer_before(
    signing_key: SigningJwk, settings: LazySettings
) -> None:
    save_key(FIRST)
    wait(HOUR)
    settings.MCP_OIDC = {**settings.MCP_OIDC, "ACCESS_TOKEN_LIFETIME": 60}
    delete_expired_keys()
    assert find_key(signing_key.kid) is not None


@pytest.mark.django_db
def test_retired_key_keeps_its_public_half_alone_in_memory(signing_key: SigningJwk) -> None:
    save_key(FIRST)
    retired = find_key(signing_key.kid)
    assert retired is not None
    assert not retired.is_private
    assert retired.public == signing_key.public


@pytest.mark.django_db
def test_nothing_is_published_while_a_key_waits(signing_key: SigningJwk) -> None:
    assert publish_key(FIRST)
    assert not publish_key(SECOND)
    assert list(states()) == [signing_key.kid, FIRST.kid]
    wait(LEAD)
    assert publish_key(SECOND)
    assert_one_chain()


@pytest.mark.django_db
def test_key_that_signs_at_once_takes_the_place_of_one_that_waits(signing_key: SigningJwk) -> None:
    publish_key(FIRST)
    save_key(SECOND)
    assert states() == {signing_key.kid: KeyState.VERIFYING, SECOND.kid: KeyState.SIGNING}
    wait(LEAD + 60)
    assert key_ring().signing.kid == SECOND.kid
    assert_one_chain()


@pytest.mark.django_db
def test_first_key_of_all_does_not_wait() -> None:
    assert publish_key(FIRST)
    assert states() == {FIRST.kid: KeyState.SIGNING}


@pytest.mark.django_db
@pytest.mark.requirement("unusable-keys")
def test_key_does_not_wait_where_the_present_one_cannot_sign(signing_key: SigningJwk, settings: LazySettings) -> None:
    settings.SECRET_KEY = "another"
    forget_keys()
    assert publish_key(FIRST)
    assert key_ring().signing.kid == FIRST.kid
    assert find_key(signing_key.kid) is not None


@pytest.mark.django_db
@pytest.mark.requirement("compromised-key")
def test_compromised_keys_are_dropped_at_once_and_together_with_their_event(signing_key: SigningJwk) -> None:
    save_key(FIRST)
    publish_key(SECOND)
    assert replace_keys(THIRD) == [signing_key.kid, FIRST.kid, SECOND.kid]
    assert states() == {THIRD.kid: KeyState.SIGNING}
    assert [find_key(key.kid) for key in (signing_key, FIRST, SECOND)] == [None] * 3
    event = Event.objects.get(kind="key.compromised")
    assert event.outcome == "revoked"
    assert event.detail == {"kid": THIRD.kid, "dropped": [signing_key.kid, FIRST.kid, SECOND.kid]}


@pytest.mark.django_db
@pytest.mark.requirement("compromised-key")
def test_keys_are_not_dropped_without_their_event(signing_key: SigningJwk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(kind: str, *args: object, **kwargs: object) -> None:
        raise RuntimeError(kind)

    monkeypatch.setattr(key_rotation.audit, "record", fail)
    for rotate in (replace_keys, save_key, publish_key):
        with pytest.raises(RuntimeError, match="key"):
            rotate(FIRST)
    assert states() == {signing_key.kid: KeyState.SIGNING}


@pytest.mark.django_db
def test_every_new_key_has_an_event(signing_key: SigningJwk) -> None:
    publish_key(FIRST)
    save_key(SECOND)
    details = [event.detail for event in Event.objects.filter(kind="key.published").order_by("pk")]
    assert details == [
        {"kid": signing_key.kid, "algorithm": "RS256", "signs_in_seconds": 0},
        {"kid": FIRST.kid, "algorithm": "ES256", "signs_in_seconds": LEAD},
        {"kid": SECOND.kid, "algorithm": "ES256", "signs_in_seconds": 0},
    ]


@pytest.mark.django_db
def test_one_key_cannot_be_kept_twice(signing_key: SigningJwk) -> None:
    with pytest.raises(IntegrityError):
        save_key(signing_key)
    assert_one_chain()


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("one-first-key")
@pytest.mark.parametrize("round_number", range(3))
def test_whoever_adds_keys_at_the_same_moment_leaves_one_chain(round_number: int) -> None:
    turns = iter([save_key, publish_key, lambda key: key_ring(max_age=0), replace_keys] * (THREADS // 4))

    def rotate() -> None:
        next(turns)(generate_jwk("ES256"))

    in_parallel(rotate)
    assert_one_chain()


@pytest.mark.django_db(transaction=True)
def test_of_eight_that_publish_a_key_one_succeeds(signing_key: SigningJwk) -> None:
    outcomes = in_parallel(lambda: publish_key(generate_jwk("ES256")))
    assert sorted(map(bool, outcomes)) == [False] * (THREADS - 1) + [True]
    assert SigningKey.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_eight_that_sign_at_once_each_gets_its_turn(signing_key: SigningJwk) -> None:
    in_parallel(lambda: save_key(generate_jwk("ES256")))
    assert SigningKey.objects.count() == THREADS + 1
    assert_one_chain()


@pytest.mark.django_db(transaction=True)
@pytest.mark.requirement("compromised-key")
def test_of_eight_that_drop_all_others_one_key_is_left(signing_key: SigningJwk) -> None:
    in_parallel(lambda: replace_keys(generate_jwk("ES256")))
    (left,) = kept_keys()
    assert left.state == KeyState.SIGNING
