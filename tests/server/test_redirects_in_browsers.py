"""What a browser makes of a redirect URI that was accepted, read by a parser of the WHATWG's URL standard.

Ours is Python's, which follows RFC 3986: a redirect goes astray where the two disagree.
"""

from __future__ import annotations

import ipaddress
import json
from urllib.parse import parse_qs

import pytest
from ada_url import URL
from django.test import Client
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from mcp_oidc.core.audit import Caller
from mcp_oidc.core.clients import find_redirect_uri, register
from mcp_oidc.protocol.uris import LOOPBACK_HOSTS, check_redirect_uri, host_of, is_redirect_match, with_params
from tests.factories import make_metadata

SCHEMES = ("cursor", "vscode")
# Some hundreds, or thousands with --long.
MANY = 10 * settings().max_examples
# The page that a redirect leaves from: a browser reads what is not absolute relative to it.
HERE = "https://mcp.example/authorize"

PIECES = st.sampled_from(
    [
        *"/\\@:#?&%[].*-_;,=+~\t\n\r \x00\x0b\x7f",
        # Dots, slashes and letters that are mapped to ASCII, or to nothing.
        *"\u3002\uff0e\uff61\u2024\uff0f\u2044\u212a\u017f\u00df\u00ad\u200b\u200d\u202e\ufeff\u24d4\uff21\u00b5",
        *("%2e", "%2f", "%40", "%5c", "%00", "%09", "%23", "%3a", "%c0%ae"),
        *("0x7f", "0x", "0177", "127.1", "2130706433", "1.2.3", "256", "::1", "[::1]", "[::ffff:127.0.0.1]"),
        *("localhost", "127.0.0.1", "evil.example", "claude.ai", "xn--", "xn--bcher-kva", "cb", "443", "80"),
        *("http:", "https:", "HTTPS://", "hTTp://", "//", "cursor:", "CURSOR://", "vscode:/"),
        *(
            "javascript:",
            "JaVaScRiPt:",
            "data:",
            "file:",
            "vbscript:",
            "blob:",
            "about:",
            "view-source:",
            "filesystem:",
        ),
    ]
)
SOUP = st.lists(PIECES, max_size=8).map("".join)
BEGINNINGS = st.sampled_from(
    ["", "https://", "http://", "HTTP://", "https:/", "cursor://", "vscode:", "https://h.example"]
)
URIS = st.builds(str.__add__, BEGINNINGS, SOUP) | st.builds(
    "{}{}{}".format, BEGINNINGS, st.sampled_from(["localhost", "evil.example", "127.0.0.1", "[::1]"]), SOUP
)


def is_accepted(uri: str) -> bool:
    try:
        return check_redirect_uri(uri, SCHEMES) == uri
    except ValueError:
        return False


# Most others are refused, and are thrown away here.
ACCEPTED = st.builds(
    str.__add__, st.sampled_from(["https://h.example/", "http://localhost:1/", "http://[::1]/", "cursor://h/"]), SOUP
).filter(is_accepted) | URIS.filter(is_accepted)


def assert_leads_to_its_host(uri: str) -> None:
    """A browser that is redirected to `uri` runs nothing, and sends the code to the host that we read in it."""
    sent = with_params(uri, {"code": "c", "state": "a b&#\u00fc"})
    browser = URL(sent, base=HERE)
    assert browser.protocol.removesuffix(":") in {"http", "https", *SCHEMES}
    assert (browser.username, browser.password, browser.hash) == ("", "", "")
    answer = parse_qs(browser.search.removeprefix("?"))
    assert (answer["code"], answer["state"]) == (["c"], ["a b&#\u00fc"])
    if browser.protocol in ("http:", "https:"):
        assert is_same_host(browser.hostname, host_of(uri))
    else:
        assert browser.protocol == f"{host_of(uri)}:"
    if browser.protocol == "http:":
        assert browser.hostname.strip("[]") in LOOPBACK_HOSTS


def is_same_host(browsers: str, ours: str) -> bool:
    if ":" not in ours:
        return browsers == ours
    return ipaddress.ip_address(browsers.strip("[]")) == ipaddress.ip_address(ours)


def test_browser_is_not_python() -> None:
    # If these two ever agree, this module proves nothing.
    assert URL("https://evil.example\\@claude.ai/").hostname == "evil.example"
    assert URL("https://2130706433/").hostname == "127.0.0.1"
    assert URL("https:claude.ai/cb", base=HERE).hostname == "mcp.example"


@pytest.mark.requirement("redirect-goes-where-it-says")
@settings(max_examples=MANY)
@given(uri=URIS)
@example("https://0x7f.1/")
@example("https://1.2.3/cb")
@example("https://[::ffff:127.0.0.1]/")
@example("HTTPS://Claude.AI:443/cb")
@example("cursor:.//evil.example")
def test_accepted_uri_is_read_by_a_browser_as_we_read_it(uri: str) -> None:
    if is_accepted(uri):
        assert_leads_to_its_host(uri)


@pytest.mark.requirement("redirect-goes-where-it-says")
@settings(max_examples=MANY // 5)
@given(registered=ACCEPTED, ending=SOUP, cut=st.integers(0, 40))
def test_request_that_is_accepted_leads_where_the_registered_uri_leads(registered: str, ending: str, cut: int) -> None:
    for presented in (registered[:cut] + ending, registered + ending, registered[:cut] + ending + registered[cut:]):
        if is_redirect_match(registered, presented) and is_accepted(presented):
            assert_leads_to_its_host(presented)
            there, known = URL(presented, base=HERE), URL(registered, base=HERE)
            assert (there.protocol, there.hostname, there.pathname) == (known.protocol, known.hostname, known.pathname)


@pytest.mark.requirement("redirect-goes-where-it-says")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(uri=URIS)
def test_registered_client_is_answered_at_the_host_that_a_browser_sees(db: None, client: Client, uri: str) -> None:
    response = client.post("/register", json.dumps({"redirect_uris": [uri]}), content_type="application/json")
    assert response.status_code in (201, 400)
    if response.status_code == 201:
        assert response.json()["redirect_uris"] == [uri]
        assert_leads_to_its_host(uri)


@pytest.mark.requirement("redirect-goes-where-it-says")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(presented=URIS)
def test_client_is_sent_to_nothing_but_what_a_browser_takes_for_its_own(db: None, presented: str) -> None:
    client = register(make_metadata(redirect_uris=["http://localhost:33418/cb"]), caller=Caller()).client
    uri = find_redirect_uri(client, presented)
    if uri is not None:
        assert_leads_to_its_host(uri)
        assert URL(uri).hostname == "localhost"
