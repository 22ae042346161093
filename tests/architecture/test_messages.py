"""Errors and warnings say what to do in words that hold on the page and on the command line too."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

_ROOT = Path(__file__).parents[2]
# Rooms whose messages reach every reader. Those of the API itself answer who calls it.
_ROOMS = (
    "worker",
    *(f"service/{room}" for room in ("actions", "domain", "ingest", "label_studio", "background", "outbound")),
)
_ROUTE = re.compile(r"\b(GET|POST|PUT|PATCH|DELETE) /")


def messages(tree: ast.AST) -> Iterator[ast.Constant]:
    """Texts of a module, without docstrings and the descriptions of the API's fields."""
    for node in ast.iter_child_nodes(tree):
        is_docstring = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        is_description = isinstance(node, ast.keyword) and node.arg == "description"
        if is_docstring or is_description:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node
        yield from messages(node)


def test_no_message_names_a_route_of_the_api() -> None:
    found = [
        f"{path.relative_to(_ROOT)}:{one.lineno}"
        for room in _ROOMS
        for path in sorted((_ROOT / room).rglob("*.py"))
        for one in messages(ast.parse(path.read_text()))
        if _ROUTE.search(str(one.value))
    ]
    assert found == []


def test_texts_are_found_wherever_they_stand() -> None:
    source = '''
"""GET /docstring"""
NAMES = ("GET /in a tuple",)
def act(id):
    """GET /docstring"""
    raise Conflict(f"gone: {id}; POST /in a message", description="GET /described")
'''
    found = [str(one.value) for one in messages(ast.parse(source)) if _ROUTE.search(str(one.value))]
    assert found == ["GET /in a tuple", "; POST /in a message"]
