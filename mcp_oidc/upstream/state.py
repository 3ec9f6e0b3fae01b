"""How the identity provider is, as far as this process knows. Nothing is asked of it here."""

from __future__ import annotations

from dataclasses import dataclass

from mcp_oidc.upstream.documents import MAX_AGE, DocumentState
from mcp_oidc.upstream.provider import get_provider


@dataclass(frozen=True)
class ProviderState:
    """What is known of the provider that users log in at."""

    issuer: str
    # The metadata was written into the settings, so it has no age.
    is_by_hand: bool
    metadata: DocumentState
    keys: DocumentState

    @property
    def failure(self) -> DocumentState | None:
        """The document that could not be had when it was last asked for, None where both could."""
        return next((state for state in (self.metadata, self.keys) if state.failure), None)

    @property
    def is_stale(self) -> bool:
        """Whether nobody has asked for the metadata for so long that its age tells nothing of the provider."""
        return self.metadata.age is None or self.metadata.age > MAX_AGE


def read_provider() -> ProviderState | None:
    """The provider's state, None without an UPSTREAM. Raises `ImproperlyConfigured` where there can be none."""
    provider = get_provider()
    if provider is None:
        return None
    return ProviderState(
        issuer=provider.upstream.issuer,
        is_by_hand=provider.upstream.metadata is not None,
        metadata=provider.metadata_state,
        keys=provider.keys_state,
    )
