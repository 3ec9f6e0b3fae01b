"""The list of what we claim and the tests that prove it name each other, without a gap on either side."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.requirements import REQUIREMENTS

TESTS = Path(__file__).parent


def test_every_requirement_has_a_test() -> None:
    marked = {requirement for requirement, _ in _marks()}
    assert [entry.id for entry in REQUIREMENTS if entry.id not in marked] == []


def test_every_mark_names_a_requirement() -> None:
    known = {entry.id for entry in REQUIREMENTS}
    assert [f"{place}: {requirement}" for requirement, place in _marks() if requirement not in known] == []


def test_every_requirement_is_listed_once_with_its_source_and_sentence() -> None:
    counts = Counter(entry.id for entry in REQUIREMENTS)
    assert [entry for entry, count in counts.items() if count > 1] == []
    assert [entry.id for entry in REQUIREMENTS if not (entry.source and entry.sentence.endswith("."))] == []


def test_marks_are_found_where_tests_carry_them() -> None:
    source = """
@pytest.mark.requirement("on-a-test")
async def test_one(): ...

@pytest.mark.requirement("on-a-class")
class TestThings:
    def test_two(self): ...

@pytest.mark.parametrize("x", [pytest.param(1, marks=pytest.mark.requirement("on-a-case"))])
def test_three(x): ...

@pytest.mark.requirement("on-no-test")
def build(): ...
"""
    assert sorted(_marks_of(ast.parse(source))) == ["on-a-case", "on-a-class", "on-a-test"]


@cache
def _marks() -> list[tuple[str, str]]:
    return [
        (requirement, str(path.relative_to(TESTS)))
        for path in sorted(TESTS.rglob("test_*.py"))
        for requirement in _marks_of(ast.parse(path.read_text(), str(path)))
    ]


def _marks_of(module: ast.Module) -> Iterator[str]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and _is_test(node.name):
            for decorator in node.decorator_list:
                yield from _ids_in(decorator)


def _is_test(name: str) -> bool:
    return name.startswith(("test_", "Test"))


def _ids_in(decorator: ast.expr) -> Iterator[str]:
    for node in ast.walk(decorator):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "requirement":
            yield from (ast.literal_eval(argument) for argument in node.args)
