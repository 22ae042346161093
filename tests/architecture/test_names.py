"""A name means one thing across the tree; docs/glossary.md says which."""

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("service", "worker", "usual_suspects")
# One class for each trainer, called alike on purpose: usual_suspects.transformers and usual_suspects.lightning.
# A job is one thing: the store has its row, and a client of the service its view.
ALIKE = {"TraceCallback", "Job"}
# What the service answers with, as its client has it, under the names of the API; tests of the client hold that they are the same.
OF_THE_API = {"usual_suspects/client/models.py", "usual_suspects/client/errors.py"}


def test_no_public_class_is_defined_in_two_modules() -> None:
    defined: dict[str, list[str]] = defaultdict(list)
    for package in PACKAGES:
        for file in sorted((ROOT / package).rglob("*.py")):
            if str(file.relative_to(ROOT)) in OF_THE_API:
                continue
            for node in ast.parse(file.read_text(encoding="utf-8")).body:
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    defined[node.name].append(str(file.relative_to(ROOT)))
    assert len(defined) > 100, "the tree was not found"
    assert {name: files for name, files in defined.items() if len(files) > 1 and name not in ALIKE} == {}
