"""Models of the Python client from the description of the API: `python -m docs.scripts.client_models` writes them.

Code of our own, since datamodel-code-generator writes classes that import pydantic or refuse what they do not know. The tests fail
where the file is not what the service's /openapi.json says.
"""

import keyword
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from textwrap import wrap
from typing import Any

from docs.scripts.formatting import formatted
from service.main import create_app
from service.settings import Settings

TARGET = Path(__file__).parents[2] / "usual_suspects/client/models.py"
_HEADER = '''"""Answers and options of the API as frozen dataclasses and typed dictionaries.

Written by `python -m docs.scripts.client_models` from the description of the API; do not edit. Fields that a newer service adds
are in `extra`. Texts of an enumeration may be others than the listed ones, too, from a newer service.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, TypedDict
'''
_SIMPLE = {
    "string": "str",
    "integer": "int",
    "number": "float",
    "boolean": "bool",
    "null": "None",
    "object": "Mapping[str, Any]",
}
_FORMATS = {"date-time": "datetime", "date": "date"}
# Routes that other programs call: the backend of a labelling tool.
_NOT_FOR_CLIENTS = "/ls/"
_OPTIONS = {
    "DatasetOptions": ("DatasetSpec", {"name"}, "How an upload is read; each field that is left out is inferred."),
    "JobOptions": ("UploadJobRequest", {"dataset"}, "What a job is asked for; each field has a default."),
}
# What the client takes beside what the API takes: the name of a model alone.
_SHORT = {"model": "str | "}
_WIDTH = 118


def description() -> dict[str, Any]:
    """The description of the API that the service of this tree serves."""
    with tempfile.TemporaryDirectory() as home:
        found: dict[str, Any] = create_app(Settings(home=Path(home))).openapi()
        return found


def module(api: Mapping[str, Any]) -> str:
    """The source of the models, formatted."""
    schemas = api["components"]["schemas"]
    names = _in_order(_reachable(api), schemas)
    parts = [_HEADER]
    parts += [_alias(name, schemas[name]) for name in names if "enum" in schemas[name]]
    parts += [_dataclass(name, schemas[name]) for name in names if "enum" not in schemas[name]]
    parts += [_options(name, schemas[origin], left, text) for name, (origin, left, text) in _OPTIONS.items()]
    return formatted("\n\n".join(parts), TARGET)


def _reachable(api: Mapping[str, Any]) -> set[str]:
    """Names of the schemas that answers of the client's routes consist of."""
    found: set[str] = set()
    waiting: list[Any] = [
        content.get("schema")
        for path, methods in api["paths"].items()
        if not path.startswith(_NOT_FOR_CLIENTS)
        for operation in methods.values()
        for status, answer in operation["responses"].items()
        if status.startswith("2")
        for content in answer.get("content", {}).values()
    ]
    while waiting:
        for name in _references(waiting.pop()):
            if name not in found:
                found.add(name)
                waiting.append(api["components"]["schemas"][name])
    return found


def _in_order(names: set[str], schemas: Mapping[str, Any]) -> list[str]:
    """The names, each after those that its schema refers to."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        if name not in found:
            for other in sorted(_references(schemas[name])):
                add(other)
            found[name] = None

    for name in sorted(names):
        add(name)
    return list(found)


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if "$ref" in value:
            yield value["$ref"].rpartition("/")[2]
        for one in value.values():
            yield from _references(one)
    elif isinstance(value, list):
        for one in value:
            yield from _references(one)


def _alias(name: str, schema: Mapping[str, Any]) -> str:
    return f"{name} = {_literal(schema['enum'])}"


def _dataclass(name: str, schema: Mapping[str, Any]) -> str:
    lines = [
        "@dataclass(frozen=True, kw_only=True)",
        f"class {name}:",
        *_docstring(schema.get("description") or f"{name}."),
    ]
    fields = schema.get("properties", {})
    for one, kind in fields.items():
        default = "" if one in schema.get("required", ()) else f" = {_default(kind)}"
        lines += [*_comment(kind), f"    {attribute(one)}: {_type(kind)}{default}"]
    lines.append("    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)")
    if "items" in fields:
        item = _type(fields["items"]).removeprefix("tuple[").removesuffix(", ...]")
        lines += ["", f"    def __iter__(self) -> Iterator[{item}]:", "        return iter(self.items)"]
        lines += ["", "    def __len__(self) -> int:", "        return len(self.items)"]
    return "\n".join(lines)


def _options(name: str, schema: Mapping[str, Any], left_out: set[str], text: str) -> str:
    lines = [f"class {name}(TypedDict, total=False):", *_docstring(text)]
    for one, kind in schema["properties"].items():
        if one not in left_out:
            lines += [*_comment(kind), f"    {attribute(one)}: {_SHORT.get(one, '')}{_type(kind, options=True)}"]
    return "\n".join(lines)


def attribute(name: str) -> str:
    """The name of a field in Python."""
    return f"{name}_" if keyword.iskeyword(name) else name


def _type(schema: Mapping[str, Any], *, options: bool = False) -> str:
    several = schema.get("anyOf") or schema.get("oneOf")
    if several:
        listed = [value for one in several for value in _listed(one)]
        kinds = dict.fromkeys([_literal(listed)] if listed else [])
        kinds |= dict.fromkeys(_type(one, options=options) for one in several if not _listed(one))
        if "float" in kinds:
            kinds.pop("int", None)
        return " | ".join(sorted(kinds, key=lambda kind: kind == "None"))
    if "$ref" in schema:
        return "Mapping[str, Any]" if options else str(schema["$ref"]).rpartition("/")[2]
    if _listed(schema):
        return _literal(_listed(schema))
    if schema.get("type") == "array":
        items = _type(schema.get("items", {}), options=options)
        return f"list[{items}]" if options else f"tuple[{items}, ...]"
    if schema.get("type") == "object" and isinstance(schema.get("additionalProperties"), Mapping):
        return f"Mapping[str, {_type(schema['additionalProperties'], options=options)}]"
    return _FORMATS.get(schema.get("format", "")) or _SIMPLE.get(schema.get("type", ""), "Any")


def _listed(schema: Mapping[str, Any]) -> list[Any]:
    return [schema["const"]] if "const" in schema else list(schema.get("enum", ()))


def _literal(values: list[Any]) -> str:
    return f"Literal[{', '.join(map(repr, values))}]"


def _default(schema: Mapping[str, Any]) -> str:
    if isinstance(schema.get("default"), str | int | float | bool):
        return repr(schema["default"])
    kind = _type(schema)
    if kind.endswith("| None"):
        return "None"
    if kind.startswith("tuple["):
        return "()"
    if kind.startswith("Mapping["):
        return "field(default_factory=dict)"
    # What has a default of its own in the API is always in an answer.
    return f"field(default_factory={kind})"


def _docstring(text: str) -> list[str]:
    lines = [part for line in text.split("\n") for part in (wrap(line, _WIDTH - 4) or [""])]
    if len(lines) == 1:
        return [f'    """{lines[0]}"""', ""]
    return [f'    """{lines[0]}', *(f"    {line}".rstrip() for line in lines[1:]), '    """', ""]


def _comment(schema: Mapping[str, Any]) -> list[str]:
    return [f"    # {line}" for line in wrap(schema.get("description", ""), _WIDTH - 6)]


if __name__ == "__main__":
    TARGET.write_text(module(description()), encoding="utf-8")
