"""A language that a project adds, written from right to left: as much of it as the pages under test need."""

from __future__ import annotations

from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.mofile import write_mo

TEXTS = {
    "en": "ar",
    "Allow this app to act for you?": "هل تسمح لهذا التطبيق بالتصرف نيابة عنك؟",
    "unverified": "غير موثّق",
    "The app chose this name itself; nobody has checked it.": "اختار التطبيق هذا الاسم بنفسه؛ ولم يتحقق منه أحد.",
    "Access goes to": "يُمنح الوصول إلى",
    "a program on this computer": "برنامج على هذا الحاسوب",
    "a program on the device where you approved it": "برنامج على الجهاز الذي سمحت منه",
    "The app will be able to": "سيتمكن التطبيق من",
    "See your name and profile": "الاطلاع على اسمك وملفك الشخصي",
    "At": "لدى",
    "As": "باسم",
    "Deny": "رفض",
    "Allow": "سماح",
    "You can take this back at any time:": "يمكنك التراجع عن ذلك في أي وقت:",
    "your connected apps": "تطبيقاتك المتصلة",
    "Your connected apps": "تطبيقاتك المتصلة",
    "Logged in as": "مسجّل الدخول باسم",
    "Approved": "سُمح به في",
    "Last used": "آخر استخدام",
    "Disconnect": "قطع الاتصال",
}
CONTEXTS = {
    "en": "code of the language that this catalogue translates to",
    "At": "before the server that an app may use",
    "As": "before the name of the user",
}


def arabic_texts(directory: Path) -> Path:
    """`directory`, as one of LOCALE_PATHS."""
    catalogue = Catalog(locale="ar")
    for text, translation in TEXTS.items():
        catalogue.add(text, translation, context=CONTEXTS.get(text))
    file = directory / "ar" / "LC_MESSAGES" / "django.mo"
    file.parent.mkdir(parents=True)
    with file.open("wb") as compiled:
        write_mo(compiled, catalogue)
    return directory
