"""Names of known products, and the addresses that speak for them. Plain Python.

A client chooses its name itself. Where a name reads like a known product's and the answer goes to an address that is
not the product's, a person should know. It is a table for a handful of names, and no proof of anything: whoever is not
in it is shown as unverified all the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class Product:
    """A product as people know it. `marks` are found anywhere in a name, `words` at the beginning of a word only."""

    name: str
    # A host stands for the hosts below it, too.
    hosts: tuple[str, ...]
    schemes: tuple[str, ...] = ()
    marks: tuple[str, ...] = ()
    # Names that are part of other words: cursor is in precursor.
    words: tuple[str, ...] = ()


PRODUCTS = (
    Product("Claude", ("claude.ai", "claude.com", "anthropic.com"), schemes=("claude",), marks=("claude", "anthropic")),
    Product("ChatGPT", ("chatgpt.com", "openai.com"), marks=("chatgpt", "openai")),
    Product("Cursor", ("cursor.com", "cursor.sh"), schemes=("cursor",), words=("cursor",)),
    Product(
        "Visual Studio Code",
        ("vscode.dev", "code.visualstudio.com"),
        schemes=("vscode", "vscode-insiders"),
        marks=("vscode", "visualstudiocode"),
    ),
    Product("GitHub", ("github.com", "vscode.dev"), schemes=("vscode", "vscode-insiders"), marks=("github",)),
    Product(
        "Copilot",
        ("github.com", "vscode.dev", "copilot.microsoft.com", "global.consent.azure-apim.net"),
        schemes=("vscode", "vscode-insiders"),
        words=("copilot",),
    ),
    Product(
        "Windsurf",
        ("windsurf.com", "codeium.com"),
        schemes=("windsurf", "windsurf-next"),
        marks=("windsurf", "codeium"),
    ),
    # Not all of google.com, where anybody can have a page.
    Product(
        "Gemini",
        ("gemini.google.com", "aistudio.google.com", "vertexaisearch.cloud.google.com"),
        marks=("google",),
        words=("gemini",),
    ),
)

# Letters that look like a Latin one. Of the two scripts that have a whole alphabet of them; the rest stays apart.
_LOOK_ALIKES = str.maketrans(
    "ıавгеһіјкӏмнорԛсѕтуԝхүьԁɡαβγεικνορτυχωϲ",  # the look-alikes themselves
    "iabrehijklmhopqcstywxybdgabyeiknoptuxwc",
)
# Letters and digits that are told apart with care only, each group as one.
_STROKES = str.maketrans("i1|0", "lllo")


def imitated_product(name: str, *, hosts: Collection[str], scheme: str = "") -> str | None:
    """The product that `name` reads like and that none of `hosts` and `scheme` belongs to; None if there is none.

    `hosts` are those that a client is known by: of its redirect URI, of its metadata document. `scheme` is that of a
    private-use redirect URI. Without either there is nothing to compare with: on loopback a name cannot be checked.
    """
    if not hosts and not scheme:
        return None
    resembled = [product for product in PRODUCTS if _resembles(name, product)]
    # A name may hold two, such as "Claude for Cursor": either may be the one that asks.
    if any(_belongs(product, hosts, scheme) for product in resembled):
        return None
    return resembled[0].name if resembled else None


def _belongs(product: Product, hosts: Collection[str], scheme: str) -> bool:
    if scheme and scheme not in product.schemes:
        return False
    return all(any(_is_below(host, own) for own in product.hosts) for host in hosts)


def _is_below(host: str, own: str) -> bool:
    host = host.lower().removesuffix(".")
    return host == own or host.endswith(f".{own}")


def _resembles(name: str, product: Product) -> bool:
    words = re.findall(r"[^\W_]+", _skeleton(name))
    # Without what stands between the letters: "c-l-a-u-d-e" reads the same.
    letters = "".join(words)
    return any(_skeleton(mark) in letters for mark in product.marks) or any(
        part.startswith(_skeleton(word)) for word in product.words for part in (letters, *words)
    )


def _skeleton(name: str) -> str:
    """`name` as the eye takes it: without case, accents, width, invisible characters and look-alikes."""
    # KD after casefold: fullwidth and styled letters become plain ones, and accents marks of their own.
    plain = unicodedata.normalize("NFKD", unicodedata.normalize("NFKC", name).casefold()).translate(_LOOK_ALIKES)
    seen = "".join(char for char in plain if unicodedata.category(char)[0] not in "MC")
    return seen.translate(_STROKES).replace("rn", "m").replace("vv", "w")
