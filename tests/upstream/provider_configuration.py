"""What an identity provider in a process of its own is told: by its environment, as JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

_VARIABLE = "IDENTITY_PROVIDER"

# Seconds: so few that a clock that is wrong shows.
ID_TOKEN_LIFETIME = 120

PASSWORD = "correct horse battery staple"
USERS: dict[str, dict[str, Any]] = {
    "alice": {"email": "alice@example.com", "email_verified": True},
    "bob": {"email": "bob@example.com", "email_verified": True},
}


@dataclass(frozen=True)
class RelyingParty:
    """A client as the provider knows it, which is us: the provider takes its `auth_method` and no other."""

    client_id: str
    auth_method: str = "client_secret_basic"
    secret: str = ""
    # A public JWK, for private_key_jwt.
    jwk: Mapping[str, str] | None = None
    rotates: bool = True
    # Where claims about the user stand, but for `sub`: in the ID token too, or in userinfo alone.
    has_full_id_tokens: bool = False
    # Whether a user who has logged in is asked.
    needs_approval: bool = False
    # Of access tokens, in seconds. Tests leap over it twice, and a clock that is ahead by that is not wrong yet.
    lifetime: int = 25


@dataclass(frozen=True)
class ProviderConfiguration:
    """One provider. `home` is the directory of its database; `keys` are private, as PEM, and the first one signs."""

    origin: str
    home: str
    keys: tuple[str, ...]
    redirect_uri: str
    post_logout_redirect_uri: str
    relying_parties: tuple[RelyingParty, ...]

    @property
    def port(self) -> int:
        return int(self.origin.rpartition(":")[2])

    def relying_party(self, client_id: str) -> RelyingParty | None:
        """Who has this client id."""
        return next((party for party in self.relying_parties if party.client_id == client_id), None)

    def as_environment(self) -> dict[str, str]:
        """For the process of the provider."""
        return {_VARIABLE: json.dumps(asdict(self))}

    @classmethod
    def from_environment(cls) -> ProviderConfiguration:
        """In the process of the provider."""
        members = json.loads(os.environ[_VARIABLE])
        parties = tuple(RelyingParty(**party) for party in members.pop("relying_parties"))
        return cls(**{**members, "keys": tuple(members["keys"]), "relying_parties": parties})
