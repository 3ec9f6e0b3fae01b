"""Names that clients may choose, each with what a person reads in its place on every page."""

HOSTILE_NAMES = [
    ("<script>alert(1)</script>", "<script>alert(1)</script>"),
    ('"><img src=x onerror=alert(1)>', '"><img src=x onerror=alert(1)>'),
    ("{{ csp_nonce }}{% url 'x' %}", "{{ csp_nonce }}{% url 'x' %}"),
    ("safe\u202eexe.tset", "safe⟨U+202E⟩exe.tset"),
    ("Cla\u200bude", "Cla⟨U+200B⟩ude"),
    ("Cla\u00adude", "Cla⟨U+00AD⟩ude"),
    ("\u2066x\u2069", "⟨U+2066⟩x⟨U+2069⟩"),
    ("\u3164", "⟨U+3164⟩"),
    ("a\u2800b", "a⟨U+2800⟩b"),
    ("a\u00a0b", "a⟨U+00A0⟩b"),
    ("e\u0301" + "\u0301" * 3, "é⟨U+0301⟩⟨U+0301⟩⟨U+0301⟩"),
    ("x\u20dd", "x⟨U+20DD⟩"),
    ("\U000e0041", "⟨U+E0041⟩"),
    ("Ünïcödé 漢字 🐎", "Ünïcödé 漢字 🐎"),
    ("x" * 200, f"{'x' * 80}…"),
    ("line\nbreak\ttab", "line break tab"),
    ("", "An app without a name"),
]
