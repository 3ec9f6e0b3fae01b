"""Redirect URIs: the table of what may be registered and what an authorization request may then present."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mcp_oidc.protocol.uris import (
    DANGEROUS_SCHEMES,
    MAX_URI_LENGTH,
    check_redirect_uri,
    check_web_uri,
    host_of,
    is_loopback,
    is_redirect_match,
    origin_of,
    with_params,
    without_port,
)

SCHEMES = ("cursor", "vscode")

ALLOWED = [
    "https://claude.ai/api/mcp/auth_callback",
    "https://vscode.dev/redirect",
    "https://client.example:8443/cb?tenant=1",
    "https://client.example",
    "https://xn--bcher-kva.example/cb",
    "https://[2001:db8::1]/cb",
    "http://localhost/callback",
    "http://localhost:6274/oauth/callback",
    "http://127.0.0.1/",
    "http://127.0.0.1:33418/",
    "http://[::1]:8080/cb",
    "http://LOCALHOST/cb",
    "cursor://anysphere.cursor-mcp/oauth/callback",
    "CURSOR://anysphere.cursor-mcp/oauth/callback",
    "vscode:/callback",
]

REFUSED = [
    # A browser would run it or open it as something of our own.
    *(f"{scheme}:x" for scheme in sorted(DANGEROUS_SCHEMES)),
    "javascript:alert(1)",
    "JavaScript://client.example/%0aalert(1)",
    "java\tscript:alert(1)",
    "java%73cript:alert(1)",
    "\x01javascript:alert(1)",
    " javascript:alert(1)",
    "data:text/html,<script>alert(1)</script>",
    "vbscript:msgbox(1)",
    "view-source:https://client.example/",
    "feed:javascript:alert(1)",
    # Not absolute, or not a scheme that this server allows.
    "",
    "/callback",
    "//client.example/cb",
    "client.example/cb",
    "https:client.example",
    "https:/client.example",
    "https:///cb",
    "windsurf://callback",
    "cursor:",
    "cursor://",
    # Fragment, userinfo, wildcard.
    "https://client.example/cb#",
    "https://client.example/cb#fragment",
    "cursor://anysphere.cursor-mcp/cb#fragment",
    "https://user@client.example/cb",
    "https://user:password@client.example/cb",
    "https://claude.ai@evil.example/cb",
    "https://@client.example/cb",
    "cursor://user@host/cb",
    "https://*.client.example/cb",
    "https://client.example/*",
    # Backslashes, control characters, spaces, and whatever else a URI cannot hold.
    "https://client.example\\@evil.example/cb",
    "https:\\\\client.example/cb",
    "https://client.example/a b",
    "https://client.example/cb ",
    "https://client.example/\tcb",
    "https://client.example/\ncb",
    "https://client.example/\x00cb",
    "https://client.example/\x7fcb",
    "https://client.example/c\u00e9",
    "https://b\u00fccher.example/cb",
    "https://client.example/\u202ecb",
    'https://client.example/"cb',
    "https://client.example/<cb>",
    "https://client.example/[x]",
    "cursor://host/cb?a[]=1",
    "https://client.example/%zz",
    "https://client.example/%",
    # Hosts and ports that are none.
    "https://.example/cb",
    "https://client..example/cb",
    "https://-client.example/cb",
    "https://client%2eexample/cb",
    "https://client.example:0/cb",
    "https://client.example:99999/cb",
    "https://client.example:port/cb",
    "https://client.example:/cb",
    "https://[::1/cb",
    "https://[::1]x/cb",
    "https://[v1.x]/cb",
    # http beyond loopback, and what only looks like it.
    "http://client.example/cb",
    "http://127.0.0.1.example/cb",
    "http://localhost.example/cb",
    "http://localhost@evil.example/cb",
    "http://localhost:80@evil.example/cb",
    "http://localhost./cb",
    "http://127.1/cb",
    "http://127.0.0.2/cb",
    "http://2130706433/cb",
    "http://0x7f.0.0.1/cb",
    "http://0.0.0.0/cb",
    "http://[::]/cb",
    "http://[::ffff:127.0.0.1]/cb",
    "http://[::1%25eth0]/cb",
    "http://evil.example\\@localhost/cb",
    # Not a string, or too much of one.
    None,
    1,
    ["https://client.example/cb"],
    "https://client.example/" + "a" * MAX_URI_LENGTH,
]


@pytest.mark.requirement("redirect-uri-safe")
@pytest.mark.parametrize("uri", ALLOWED)
def test_redirect_uri_is_allowed_as_it_stands(uri: str) -> None:
    assert check_redirect_uri(uri, SCHEMES) == uri


@pytest.mark.requirement("redirect-uri-safe")
@pytest.mark.parametrize("uri", REFUSED, ids=repr)
def test_redirect_uri_is_refused(uri: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_redirect_uri(uri, SCHEMES)


@pytest.mark.parametrize("scheme", sorted(DANGEROUS_SCHEMES))
def test_dangerous_scheme_is_refused_even_where_a_project_lists_it(scheme: str) -> None:
    with pytest.raises(ValueError, match="is not allowed"):
        check_redirect_uri(f"{scheme}://host/path", (*SCHEMES, scheme))


MATCHES = [
    ("https://client.example/cb", "https://client.example/cb"),
    ("http://localhost/cb", "http://localhost/cb"),
    ("http://localhost/cb", "http://localhost:49152/cb"),
    ("http://localhost:33418/cb", "http://localhost:49152/cb"),
    ("http://localhost:33418/cb", "http://localhost/cb"),
    ("http://127.0.0.1/", "http://127.0.0.1:49152/"),
    ("http://[::1]/cb", "http://[::1]:49152/cb"),
    ("http://localhost/cb?a=1", "http://localhost:1/cb?a=1"),
    ("cursor://anysphere.cursor-mcp/oauth/callback", "cursor://anysphere.cursor-mcp/oauth/callback"),
]

MISMATCHES = [
    # Exact, but for the port of a loopback host.
    ("https://client.example/cb", "https://client.example/cb/"),
    ("https://client.example/cb", "https://client.example/CB"),
    ("https://client.example/cb", "https://client.example/cb?x=1"),
    ("https://client.example/cb", "https://client.example:8443/cb"),
    ("https://client.example/cb", "https://client.example.evil.example/cb"),
    ("https://localhost/cb", "https://localhost:8443/cb"),
    ("cursor://host/cb", "cursor://host:1/cb"),
    # Another loopback host is another program's, perhaps.
    ("http://localhost/cb", "http://127.0.0.1/cb"),
    ("http://127.0.0.1/cb", "http://[::1]/cb"),
    ("http://localhost/cb", "http://LOCALHOST:1/cb"),
    ("http://localhost/cb", "http://localhost:1/cb?"),
    ("http://localhost/cb", "http://localhost:080/cb"),
    ("http://localhost/cb", "http://localhost/other"),
    ("http://localhost/cb", "http://localhost:1/cb?x=1"),
    ("http://localhost/cb", "http://localhost:1/cb#fragment"),
    ("http://localhost/cb", "https://localhost:1/cb"),
    # What urlsplit takes for localhost and a browser does not.
    ("http://localhost/cb", "http://evil.example\\@localhost/cb"),
    ("http://localhost/cb", "http://evil.example\\@localhost:1/cb"),
    ("http://localhost/cb", "http://evil.example@localhost/cb"),
    ("http://localhost/cb", "http://localhost@evil.example/cb"),
    ("http://localhost/cb", "http://lo\tcalhost:1/cb"),
    ("http://localhost/cb", "http://localhost:99999/cb"),
    ("http://localhost/cb", "http://localhost:0/cb"),
    ("http://localhost/cb", "http://localhost:x/cb"),
    ("http://localhost/cb", "http://localhost.evil.example/cb"),
    ("http://localhost/cb", "http://[a/cb"),
    ("http://localhost/cb", ""),
    ("http://[a/cb", "http://localhost/cb"),
]


@pytest.mark.requirement("redirect-uri-exact")
@pytest.mark.parametrize(("registered", "presented"), MATCHES)
def test_presented_uri_is_the_registered_one(registered: str, presented: str) -> None:
    assert is_redirect_match(registered, presented)


@pytest.mark.requirement("redirect-uri-exact")
@pytest.mark.parametrize(("registered", "presented"), MISMATCHES)
def test_presented_uri_is_another(registered: str, presented: str) -> None:
    assert not is_redirect_match(registered, presented)


NASTY = st.lists(
    st.sampled_from(
        [
            *"/\\@:#?&%[].*\t\n\r \x00\u202e",
            "localhost",
            "127.0.0.1",
            "[::1]",
            "evil.example",
            "http://",
            "https:",
            "cb",
        ]
    ),
    max_size=8,
).map("".join)


@given(prefix=NASTY, middle=NASTY, suffix=NASTY)
def test_whatever_is_presented_differs_from_the_registered_uri_in_its_port_alone(
    prefix: str, middle: str, suffix: str
) -> None:
    registered = "http://localhost:33418/cb"
    for presented in (f"{prefix}http://localhost{middle}/cb{suffix}", f"{prefix}{middle}{suffix}"):
        if is_redirect_match(registered, presented):
            assert re.fullmatch(r"http://localhost(:[0-9]{1,5})?/cb", presented)


@given(scheme=st.sampled_from(["https://", "http://", "HTTPS://", "cursor://", "javascript:", ""]), rest=NASTY)
def test_accepted_uri_has_the_host_that_a_browser_sees(scheme: str, rest: str) -> None:
    uri = scheme + rest
    try:
        check_redirect_uri(uri, SCHEMES)
    except ValueError:
        return
    assert re.fullmatch(r"(?i)(https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]+)?([/?].*)?|cursor:.+)", uri)
    assert not re.search(r"[\\\s@#*\x00-\x20\x7f-\U0010ffff]", uri.split("/", 3)[2])


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://localhost:49152/cb", True),
        ("http://127.0.0.1/", True),
        ("http://[::1]:1/", True),
        ("https://localhost/cb", False),
        ("http://localhost.example/", False),
        ("cursor://localhost/", False),
    ],
)
def test_loopback_is_http_on_this_machine(uri: str, expected: bool) -> None:
    assert is_loopback(uri) is expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("http://localhost:49152/cb?a=1", "http://localhost/cb?a=1"),
        ("http://[::1]:49152/cb", "http://[::1]/cb"),
        ("http://127.0.0.1/", "http://127.0.0.1/"),
        ("https://client.example:8443/cb", "https://client.example:8443/cb"),
        ("cursor://host:1/cb", "cursor://host:1/cb"),
    ],
)
def test_consent_forgets_the_port_of_a_loopback_uri_only(uri: str, expected: str) -> None:
    assert without_port(uri) == expected


@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://Claude.ai:443/cb", "claude.ai"),
        ("http://127.0.0.1:1/", "127.0.0.1"),
        # The host of a private-use URI is whatever the client likes to call it.
        ("cursor://claude.ai/cb", "cursor"),
        ("cursor:/cb", "cursor"),
    ],
)
def test_person_reads_the_host_or_the_private_use_scheme(uri: str, expected: str) -> None:
    assert host_of(uri) == expected


def test_origin_is_scheme_host_and_port() -> None:
    assert origin_of("https://mcp.example:8443/tenant/mcp?x=1") == "https://mcp.example:8443"


@pytest.mark.requirement("redirect-query-kept")
@pytest.mark.parametrize(
    ("uri", "expected"),
    [
        ("https://client.example/cb", "https://client.example/cb?code=a&state=b%20c%2B%C3%A9"),
        ("https://client.example/cb?x=%41", "https://client.example/cb?x=%41&code=a&state=b%20c%2B%C3%A9"),
        ("cursor://host/cb", "cursor://host/cb?code=a&state=b%20c%2B%C3%A9"),
    ],
)
def test_answer_is_added_to_the_query_and_the_rest_is_left_alone(uri: str, expected: str) -> None:
    assert with_params(uri, {"code": "a", "state": "b c+\u00e9"}) == expected


@pytest.mark.parametrize("uri", ["https://client.example/privacy", "http://client.example", "http://localhost:3000/x"])
def test_web_uri_can_be_shown_as_a_link(uri: str) -> None:
    assert check_web_uri(uri) == uri


@pytest.mark.parametrize(
    "uri", ["javascript:alert(1)", "cursor://host/", "https://user@client.example/", "https://", "https://a b/", "", 1]
)
def test_web_uri_that_is_no_link_is_refused(uri: object) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        check_web_uri(uri)
