"""Every text that a person sees, in every language that is shipped. No gettext tools are needed here."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract
from babel.messages.mofile import read_mo
from babel.messages.pofile import read_po
from django.utils.translation.template import templatize

APP = Path(__file__).resolve().parents[1] / "mcp_oidc"
LANGUAGES = ("de", "fr", "es", "ja")
_SINGLE = ("_", "gettext", "gettext_lazy", "gettext_noop")
KEYWORDS = {
    **dict.fromkeys(_SINGLE, None),
    **dict.fromkeys(("ngettext", "ngettext_lazy"), (1, 2)),
    **dict.fromkeys(("pgettext", "pgettext_lazy"), ((1, "c"), 2)),
    **dict.fromkeys(("npgettext", "npgettext_lazy"), ((1, "c"), 2, 3)),
}
# What of a text a translation has to keep: values, tags, and the names of settings.
_KEPT = re.compile(r"%\(\w+\)[sd]|</?\w+>|MCP_OIDC\['\w+'\]|client_secret_\w+")
Key = tuple[str | None, str]


def catalogue(language: str, ending: str) -> Catalog:
    """The texts of a language, as they are written (po) or as Django reads them (mo)."""
    path = APP / "locale" / language / "LC_MESSAGES" / f"django.{ending}"
    with path.open("rb") as file:
        return read_po(file, locale=language) if ending == "po" else read_mo(file)


def texts_of(catalogue: Catalog) -> dict[Key, Message]:
    return {key_of(message): message for message in catalogue if message.id}


def key_of(message: Message) -> Key:
    return message.context, message.id if isinstance(message.id, str) else message.id[0]


def texts_of_source() -> set[Key]:
    """What the source marks as translatable."""
    return set(_texts_of_files())


def _texts_of_files() -> Iterator[Key]:
    for path in sorted(APP.rglob("*.py")):
        yield from _texts(path.read_text())
    for path in sorted((APP / "templates").rglob("*.html")):
        yield from _texts(templatize(path.read_text(), origin=str(path)))


def _texts(source: str) -> Iterator[Key]:
    for _, found, _, context in extract("python", io.BytesIO(source.encode()), KEYWORDS):
        yield context, found if isinstance(found, str) else found[0]


def forms_of(message: Message) -> tuple[str, ...]:
    return (message.string,) if isinstance(message.string, str) else tuple(message.string or ())


def test_source_is_read() -> None:
    found = texts_of_source()
    assert len(found) > 200
    for text in ("Deny", "Revoke all access", "The identity provider does not answer.", "Use this MCP server as you"):
        assert (None, text) in found
    assert ("before the name of the user", "As") in found


@pytest.mark.requirement("translated")
@pytest.mark.parametrize("language", LANGUAGES)
def test_every_text_is_translated_and_nothing_else(language: str) -> None:
    texts, source = texts_of(catalogue(language, "po")), texts_of_source()
    missing = {key for key in source if key not in texts or not all(forms_of(texts[key])) or texts[key].fuzzy}
    assert missing == set()
    assert texts.keys() - source == set()


@pytest.mark.requirement("translated")
@pytest.mark.parametrize("language", LANGUAGES)
def test_translation_keeps_what_stands_for_a_value(language: str) -> None:
    for message in texts_of(catalogue(language, "po")).values():
        wanted = set(_KEPT.findall(message.id if isinstance(message.id, str) else message.id[-1]))
        for form in forms_of(message):
            assert set(_KEPT.findall(form)) == wanted, form


@pytest.mark.requirement("translated")
@pytest.mark.parametrize("language", LANGUAGES)
def test_compiled_catalogue_is_that_of_the_source(language: str) -> None:
    written, compiled = (texts_of(catalogue(language, ending)) for ending in ("po", "mo"))
    assert {key: forms_of(message) for key, message in compiled.items()} == {
        key: forms_of(message) for key, message in written.items()
    }, "run django-admin compilemessages in mcp_oidc"
