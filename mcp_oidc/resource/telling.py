"""What a tool tells the model where the user's tokens at the identity provider cannot be had. Plain Python."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mcp_oidc.errors import TemporarilyUnavailable, UpstreamLoginRequired, UpstreamUnavailable


@contextmanager
def telling(error_class: type[Exception]) -> Iterator[None]:
    """Raises `error_class`, whose text a framework tells the model, for what only the user or time can mend."""
    try:
        yield
    except UpstreamLoginRequired as error:
        raise error_class("The user has to log in again: disconnect this server, and connect it anew.") from error
    except (UpstreamUnavailable, TemporarilyUnavailable) as error:
        raise error_class("The identity provider does not answer. Try again later.") from error
