"""The way from outside to the site of these tests, and what stands in it: proxies that mean well."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from urllib.parse import urlsplit

from django.test import Client

from mcp_oidc.doctor.asking import Ask, Reply

Proxy = Callable[[Ask], Ask]


def straight(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
    """Nothing in between."""
    parts = urlsplit(url)
    response = Client(enforce_csrf_checks=True).generic(
        method,
        f"{parts.path}?{parts.query}" if parts.query else parts.path,
        body,
        content_type=headers.get("Content-Type", "application/octet-stream"),
        secure=parts.scheme == "https",
        headers={"host": parts.netloc, **{name: value for name, value in headers.items() if name != "Content-Type"}},
    )
    return Reply(response.status_code, {name.lower(): value for name, value in response.items()}, response.content)


def answering(reply: Reply, *, at: str, method: str = "", least_length: int = 0) -> Proxy:
    """A proxy that answers by itself what begins with the path `at`."""

    def proxy(ask: Ask) -> Ask:
        def proxied(asked: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
            is_meant = urlsplit(url).path.startswith(at) and asked.startswith(method) and len(url) >= least_length
            return reply if is_meant else ask(asked, url, headers, body)

        return proxied

    return proxy


def without_header(name: str) -> Proxy:
    """A proxy that keeps a header to itself."""

    def proxy(ask: Ask) -> Ask:
        def proxied(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
            return ask(method, url, {key: value for key, value in headers.items() if key != name}, body)

        return proxied

    return proxy


def with_date(date: str) -> Proxy:
    """Whoever answers has this time."""

    def proxy(ask: Ask) -> Ask:
        def proxied(method: str, url: str, headers: Mapping[str, str], body: bytes) -> Reply:
            reply = ask(method, url, headers, body)
            return replace(reply, headers={**reply.headers, "date": date})

        return proxied

    return proxy
