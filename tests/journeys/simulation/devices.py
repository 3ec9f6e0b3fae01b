"""A client on somebody's device: it calls the protected endpoint, refreshes its tokens, and keeps to the protocol."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

from django.http import HttpResponse
from django.test import Client as Browser

from tests.journeys.simulation.credentials import Credentials, authorize, introduce
from tests.journeys.simulation.habits import HOUR, MINUTE, Habit
from tests.journeys.simulation.world import World

# Seconds before the end of an access token in which it is renewed by clients that know when that is.
_MARGIN = 60
# A client that lost an answer is back within REFRESH_TOKEN_RETRY, whatever else comes in between.
_LONGEST_PAUSE = 10 * HOUR
_PAUSES = ((1 * MINUTE, 10 * MINUTE), (10 * MINUTE, 2 * HOUR), (2 * HOUR, _LONGEST_PAUSE))


class Stranded(AssertionError):
    """A client that kept to the protocol, and whose user would have to log in again. It tells its story."""


@dataclass(frozen=True)
class Tokens:
    """What a client was given, and when it ends by the lifetime that it was told."""

    access_token: str
    refresh_token: str
    scopes: frozenset[str]
    expires: float


@dataclass(frozen=True)
class Rotation:
    """A refresh token that was presented, what took its place, and which SECRET_KEY had made that."""

    presented: str
    successor: str
    secrets: int


class Device:
    """One client of one user. `turn` is what it does by itself; the rest is for those who want to see it do so."""

    def __init__(self, habit: Habit, user: str, world: World) -> None:
        self.habit = habit
        self.user = user
        self.credentials: Credentials
        self.code_request: dict[str, str]
        self.tokens: Tokens
        self.first_refresh_token = ""
        self._world = world
        self._rotation = Rotation("", "", 0)
        # When the first of those answers was lost that it still waits for.
        self._lost_since: float | None = None
        # Whether the last answer said to come again, so that this is a matter of minutes.
        self._is_put_off = False
        # What another process of this client has read before it was replaced.
        self._outdated = ""
        self._refreshes = 0
        # What our server calls the user.
        self._subject = ""
        self._story: deque[str] = deque(maxlen=12)

    def connect(self, browser: Browser) -> None:
        """Let the user, whose browser is logged in, connect the client."""
        self.credentials = introduce(self.habit)
        self.code_request = authorize(browser, self.credentials, self.habit)
        body = self._require(self.send("/token", self.code_request), "redeems its code")
        assert ("id_token" in body) == ("openid" in self.habit.scope.split())
        self._keep(body)
        self.first_refresh_token = self.tokens.refresh_token

    @property
    def first_pause(self) -> float:
        """Seconds until the first turn: not everybody begins to work at the same moment."""
        return self.habit.every * (1 - self.habit.varies * self._world.random.random())

    def turn(self) -> float:
        """Do what the user's work asks for. Returns the seconds until the next time."""
        random = self._world.random
        if self._outdated:
            self._refresh_from_the_other_process()
        elif not self._work():
            return random.uniform(*(_PAUSES[0] if self._is_put_off else random.choice(_PAUSES)))
        elif self._outdated:
            # Within REFRESH_TOKEN_GRACE.
            return random.uniform(5, 50)
        return self.habit.every * random.uniform(1 - self.habit.varies, 1 + self.habit.varies)

    def freshen(self, *, seconds: float) -> None:
        """Let the access token be good for so long. Every answer arrives."""
        if self.tokens.expires < self._world.moment + seconds:
            self.renew()

    def renew(self) -> None:
        """Refresh now. Every answer arrives."""
        presented = self.tokens.refresh_token
        self._keep(self._successor(presented, self.present(presented)))

    def call(self, path: str = "/mcp/whoami") -> HttpResponse:
        """The protected endpoint's answer to the access token at hand."""
        return self._world.server.get(path, self.tokens.access_token)

    def present(self, refresh_token: str) -> HttpResponse:
        """The answer to a refresh token."""
        params = {"grant_type": "refresh_token", "refresh_token": refresh_token}
        return self.send("/token", {**params, "scope": self._asked_scope} if self._asked_scope else params)

    def send(self, path: str, params: dict[str, str]) -> HttpResponse:
        """The answer to a request in which the client proves itself."""
        proven, headers = self.credentials.proven(params)
        return self._world.server.post(path, proven, headers)

    def __str__(self) -> str:
        return f"{self.habit.kind}, every {self.habit.every / HOUR:.1f} h, of {self.user}"

    def _work(self) -> bool:
        """Call a tool. False if a refresh was needed first, and did not come to its end."""
        if self._has_to_refresh and not self._refresh():
            return False
        path = "/mcp/profile" if self._world.random.random() < self.habit.profiles else "/mcp/whoami"
        answer = self.call(path)
        if answer.status_code == 401 and self._world.moment >= self.tokens.expires:
            self._count("expired access tokens")
            if not self._refresh():
                return False
            answer = self.call(path)
        self._count("calls")
        if answer.status_code == 503 and path == "/mcp/profile" and self._world.may_be_down:
            self._count("calls during an outage")
        else:
            self._check_call(self._require(answer, f"calls {path}"))
        return True

    @property
    def _has_to_refresh(self) -> bool:
        if self._lost_since is not None:
            return True
        return not self.habit.waits_for_401 and self._world.moment > self.tokens.expires - _MARGIN

    def _refresh(self) -> bool:
        """Get new tokens. False if no answer arrived, or none was to be had."""
        world, presented, is_retry = self._world, self.tokens.refresh_token, self._lost_since is not None
        self._refreshes += 1
        self._count("retries" if is_retry else "refreshes")
        is_parallel = self.habit.has_two_processes and world.random.random() < 0.5
        if is_parallel:
            self._count("parallel refreshes")
            ask = partial(self.present, presented)
            answers = world.server.at_once(ask, ask)
        else:
            answers = [self.present(presented)]
        arrived = list(self._arriving(presented, answers))
        if not arrived:
            return False
        # Each process writes what it got over what was there.
        self._keep(arrived[-1])
        # REFRESH_TOKEN_GRACE counts from the first time, whose answer was lost.
        if self.habit.has_two_processes and not is_parallel and not is_retry:
            self._outdated = presented
        return True

    def _refresh_from_the_other_process(self) -> None:
        presented, self._outdated = self._outdated, ""
        self._count("late parallel refreshes")
        self._keep(self._successor(presented, self.present(presented)))

    @property
    def _asked_scope(self) -> str:
        return self.habit.narrow_scope if self._refreshes % 2 else ""

    def _arriving(self, presented: str, answers: Iterable[HttpResponse]) -> Iterator[dict[str, Any]]:
        """What the client is given: some answers are lost, and some only say to come again."""
        for answer in answers:
            self._is_put_off = answer.status_code == 503 and self._world.may_be_down
            if self._is_put_off:
                assert int(answer.headers["Retry-After"]) > 0
                self._count("refreshes during an outage")
                continue
            body = self._successor(presented, answer)
            if not self._is_lost():
                yield body

    def _is_lost(self) -> bool:
        moment, random = self._world.moment, self._world.random
        since = moment if self._lost_since is None else self._lost_since
        if moment > since + _LONGEST_PAUSE or random.random() >= self.habit.loses:
            return False
        self._count("lost answers")
        self._lost_since = since
        return True

    def _successor(self, presented: str, answer: HttpResponse) -> dict[str, Any]:
        """What an answer to a refresh token holds: the same successor each time."""
        body = self._require(answer, "refreshes")
        known, self._rotation = self._rotation, Rotation(presented, body["refresh_token"], self._world.secrets)
        # With another SECRET_KEY it is written differently.
        if (known.presented, known.secrets) == (presented, self._world.secrets):
            assert body["refresh_token"] == known.successor, self._tell("got another successor than before")
        return body

    def _require(self, answer: HttpResponse, deed: str) -> dict[str, Any]:
        self._story.append(self._world.dated(f"{deed}: {answer.status_code}"))
        if answer.status_code != 200:
            raise Stranded(self._tell(f"{deed}, and gets {answer.status_code} {answer.content[:300].decode()}"))
        body: dict[str, Any] = json.loads(answer.content)
        return body

    def _keep(self, body: dict[str, Any]) -> None:
        scopes = frozenset(body["scope"].split())
        wanted = frozenset((self._asked_scope or self.habit.scope).split())
        assert scopes == wanted, self._tell(f"got the scopes {sorted(scopes)} in the place of {sorted(wanted)}")
        assert body["token_type"] == "Bearer"
        expires = self._world.moment + body["expires_in"]
        self._lost_since = None
        self.tokens = Tokens(body["access_token"], body["refresh_token"], scopes, expires)

    def _check_call(self, body: dict[str, Any]) -> None:
        self._subject = self._subject or body["subject"]
        known = (self.credentials.client_id, self._subject, self.user)
        assert (body["client"], body["subject"], body.get("sub", self.user)) == known, self._tell("is somebody else")
        assert body.get("idp_tokens_last", 1) > 0, self._tell("was served with expired tokens of the provider")

    def _count(self, what: str) -> None:
        self._world.counts[what] += 1
        self._story.append(self._world.dated(what))

    def _tell(self, what: str) -> str:
        return "\n".join([f"{self} {what}", *self._story, self._world.story])
