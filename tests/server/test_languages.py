"""The language of a page: what the client asks for, what the browser does, and what the texts really are in."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo
from django.conf import LazySettings
from django.test import Client as Browser
from django.utils import translation

from mcp_oidc.models import AbstractClient
from tests.server.authorizations import authorize_url, text_of

LANGUAGE_OF_CATALOGUE = "code of the language that this catalogue translates to"
QUESTIONS = {
    "en": "Allow this app to act for you?",
    "de": "Dieser App erlauben, für Sie zu handeln?",
    "fr": "Autoriser cette application à agir pour vous\u00a0?",
    "es": "¿Permitir que esta aplicación actúe en su nombre?",
    "ja": "このアプリがあなたに代わって操作することを許可しますか?",
}


@pytest.fixture(autouse=True)
def _own_language() -> Iterator[None]:
    """LocaleMiddleware activates a language for the thread, and leaves it to the next request to change that."""
    with translation.override("en-us"):
        yield


def language_of(page: object) -> str:
    content: bytes = page.content  # type: ignore[attr-defined]  # whatever Django's client answers
    return content.decode().split('<html lang="')[1].split('"')[0]


@pytest.mark.requirement("ui-locales")
@pytest.mark.requirement("page-language")
@pytest.mark.parametrize(
    ("asked", "language"),
    [
        *((language, language) for language in QUESTIONS),
        ("de-AT en", "de"),
        ("FR-ca", "fr"),
        # Django knows it, and we have no texts in it.
        ("pl", "en"),
        ("pl ja", "ja"),
        ("tlh " * 9 + "de", "de"),
        ("tlh " * 10 + "de", "en"),
        ("../../etc de", "de"),
        ("dé <script> " + "x" * 3000, "en"),
        ("", "en"),
    ],
)
def test_client_asks_for_a_language(browser: Browser, public_client: AbstractClient, asked: str, language: str) -> None:
    page = browser.get(authorize_url(public_client, ui_locales=asked))
    assert language_of(page) == language
    assert " ".join(QUESTIONS[language].split()) in text_of(page)
    # And for nobody else's request.
    assert translation.get_language() == "en-us"
    assert language_of(browser.get("/oauth/connections")) == "en"


@pytest.mark.requirement("ui-locales")
def test_language_that_the_project_does_not_have_is_not_served(
    browser: Browser, public_client: AbstractClient, settings: LazySettings
) -> None:
    settings.LANGUAGES = [("en", "English"), ("fr", "French")]
    assert language_of(browser.get(authorize_url(public_client, ui_locales="de"))) == "en"
    assert language_of(browser.get(authorize_url(public_client, ui_locales="de fr"))) == "fr"


@pytest.mark.requirement("ui-locales")
@pytest.mark.parametrize("path", ["/authorize?ui_locales=de", "/authorize?client_id=unknown&ui_locales=de"])
def test_errors_are_in_that_language_too(stranger: Browser, path: str) -> None:
    page = stranger.get(path)
    assert language_of(page) == "de"
    assert "Das hat nicht geklappt" in text_of(page)


def test_what_only_developers_understand_stays_english_and_says_so(stranger: Browser) -> None:
    page = stranger.get("/authorize?ui_locales=ja")
    assert '<p lang="en" dir="ltr">The parameter client_id is missing.</p>' in page.content.decode()


def test_form_that_is_refused_is_answered_in_that_language(browser: Browser, public_client: AbstractClient) -> None:
    page = browser.post(authorize_url(public_client, ui_locales="es"), {"decision": "allow"})
    assert page.status_code == 403
    assert "Eso no ha funcionado" in text_of(page)


@pytest.mark.parametrize(("has_middleware", "language"), [(True, "ja"), (False, "en")])
def test_browser_is_asked_by_the_middleware_of_the_project_and_by_nothing_else(
    browser: Browser, public_client: AbstractClient, settings: LazySettings, has_middleware: bool, language: str
) -> None:
    if has_middleware:
        settings.MIDDLEWARE = ["django.middleware.locale.LocaleMiddleware", *settings.MIDDLEWARE]
    headers = {"Accept-Language": "ja, en;q=0.5"}
    assert language_of(browser.get("/oauth/connections", headers=headers)) == language
    # A client that asks knows more of the person than the browser.
    assert language_of(browser.get(authorize_url(public_client, ui_locales="de"), headers=headers)) == "de"


@pytest.mark.requirement("page-language")
@pytest.mark.parametrize(("code", "language"), [("de", "de"), ("pl", "en"), ("ar", "en"), ("fr-ca", "fr")])
def test_page_names_the_language_of_its_texts(
    browser: Browser, settings: LazySettings, code: str, language: str
) -> None:
    settings.LANGUAGE_CODE = code
    page = browser.get("/oauth/connections")
    assert language_of(page) == language
    assert 'dir="ltr"' in page.content.decode()


@pytest.mark.requirement("page-language")
def test_project_adds_a_language_that_is_written_from_right_to_left(
    browser: Browser, settings: LazySettings, tmp_path: Path
) -> None:
    texts = Catalog(locale="ar")
    texts.add("en", "ar", context=LANGUAGE_OF_CATALOGUE)
    texts.add("Your connected apps", "تطبيقاتك المتصلة")
    compiled = io.BytesIO()
    write_mo(compiled, texts)
    file = tmp_path / "ar" / "LC_MESSAGES" / "django.mo"
    file.parent.mkdir(parents=True)
    file.write_bytes(compiled.getvalue())
    settings.LOCALE_PATHS = [tmp_path]
    page = browser.get("/oauth/connections?ui_locales=ar")
    assert '<html lang="ar" dir="rtl">' in page.content.decode()
    assert "تطبيقاتك المتصلة" in text_of(page)


def test_sentence_of_the_default_scope_is_translated(
    browser: Browser, public_client: AbstractClient, settings: LazySettings
) -> None:
    settings.MCP_OIDC = {key: value for key, value in settings.MCP_OIDC.items() if key != "SCOPES"}
    page = browser.get(authorize_url(public_client, ui_locales="de", scope="mcp email"))
    assert "Diesen MCP-Server in Ihrem Namen nutzen" in text_of(page)
    assert "Ihre E-Mail-Adresse sehen" in text_of(page)
