"""Names that read like a known product's, and the addresses that may bear them."""

from __future__ import annotations

import pytest

from mcp_oidc.protocol.product_names import PRODUCTS, imitated_product

EVIL = ("evil.example",)


@pytest.mark.requirement("consent-imitation")
@pytest.mark.parametrize(
    ("name", "product"),
    [
        ("Claude", "Claude"),
        ("CLAUDE CODE", "Claude"),
        ("MyClaudeConnector", "Claude"),
        ("Anthropic", "Claude"),
        ("c-l-a-u-d-e", "Claude"),
        ("C l a u d e", "Claude"),
        ("Cl\u0430ude", "Claude"),  # Cyrillic a
        ("\u0421laud\u0435", "Claude"),  # Cyrillic C and e
        ("Cl\u03b1ude", "Claude"),  # Greek alpha
        ("CIaude", "Claude"),  # a capital I
        ("C1aude", "Claude"),
        ("Cl\u200bau\u00adde", "Claude"),
        ("\uff23\uff4c\uff41\uff55\uff44\uff45", "Claude"),  # fullwidth
        ("\U0001d402\U0001d425\U0001d41a\U0001d42e\U0001d41d\U0001d41e", "Claude"),  # mathematical bold
        ("Cl\u00e0ude", "Claude"),
        ("Cla\u0301ude", "Claude"),
        ("ChatGPT", "ChatGPT"),
        ("0penAl", "ChatGPT"),
        ("Cursor", "Cursor"),
        ("CursorAI 2", "Cursor"),
        ("C u r s o r", "Cursor"),
        ("VS Code", "Visual Studio Code"),
        ("V\u0131sual Studio Code", "Visual Studio Code"),  # a dotless i
        ("GitHub", "GitHub"),
        ("Copi1ot", "Copilot"),
        ("VVindsurf", "Windsurf"),
        ("Codeiurn", "Windsurf"),
        ("Goog1e", "Gemini"),
        ("Gemini CLI", "Gemini"),
    ],
)
def test_name_that_reads_like_a_product_is_found_at_a_foreign_host(name: str, product: str) -> None:
    assert imitated_product(name, hosts=EVIL) == product


@pytest.mark.parametrize("name", ["", "My tool", "Precursor", "VSCodium", "Cloud", "\u6f22\u5b57", "\U0001f40e", "\0"])
def test_other_names_raise_no_alarm(name: str) -> None:
    assert imitated_product(name, hosts=EVIL) is None


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("Claude", "claude.ai"),
        ("Claude", "CLAUDE.COM."),
        ("Claude for Cursor", "cursor.com"),
        ("Claude for Cursor", "claude.ai"),
        ("ChatGPT", "chatgpt.com"),
        ("ChatGPT", "auth.openai.com"),
        ("Visual Studio Code", "vscode.dev"),
        ("Visual Studio Code - Insiders", "insiders.vscode.dev"),
        ("GitHub Copilot", "vscode.dev"),
        ("Gemini", "gemini.google.com"),
    ],
)
def test_product_at_its_own_host_raises_no_alarm(name: str, host: str) -> None:
    assert imitated_product(name, hosts=(host,)) is None


@pytest.mark.requirement("consent-imitation")
@pytest.mark.parametrize(
    "host", ["claude.ai.evil.example", "notclaude.ai", "claude.ai-login.example", "xn--claude-xyz.ai", "claude.a"]
)
def test_host_that_reads_like_the_products_is_foreign(host: str) -> None:
    assert imitated_product("Claude", hosts=(host,)) == "Claude"


@pytest.mark.requirement("consent-imitation")
def test_every_host_of_a_client_has_to_be_the_products() -> None:
    assert imitated_product("Claude", hosts=("claude.ai", "claude.com")) is None
    assert imitated_product("Claude", hosts=("claude.ai", *EVIL)) == "Claude"


@pytest.mark.parametrize(
    ("name", "scheme", "product"),
    [
        ("Cursor", "cursor", None),
        ("Claude", "claude", None),
        ("Visual Studio Code", "vscode-insiders", None),
        ("Claude", "cursor", "Claude"),
        ("Cursor", "windsurf", "Cursor"),
        ("ChatGPT", "vscode", "ChatGPT"),
    ],
)
def test_private_scheme_belongs_to_a_product_too(name: str, scheme: str, product: str | None) -> None:
    assert imitated_product(name, hosts=(), scheme=scheme) == product


@pytest.mark.parametrize("name", ["Claude Code", "Cursor", "Visual Studio Code"])
def test_nothing_can_be_said_where_no_host_is_known(name: str) -> None:
    assert imitated_product(name, hosts=()) is None


def test_every_product_is_found_by_its_own_name() -> None:
    for product in PRODUCTS:
        assert imitated_product(product.name, hosts=EVIL) == product.name
        assert imitated_product(product.name, hosts=product.hosts) is None
