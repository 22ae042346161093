"""A name means one thing across the tree; docs/glossary.md says which."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("service", "worker", "usual_suspects")
# One class for each trainer, called alike on purpose: usual_suspects.transformers and usual_suspects.lightning.
ALIKE = {"TraceCallback"}


def test_no_public_class_is_defined_in_two_modules() -> None:
    defined: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    defined[node.name].append(str(file.relative_to(ROOT)))
    assert len(defined) > 100, "the tree was not found"
    assert {name: files for name, files in defined.items() if len(files) > 1 and name not in ALIKE} == {}
