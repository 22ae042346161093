"""`spec.merge_labels`: labels that the client calls one class."""

from collections.abc import Mapping
from difflib import get_close_matches

from service.ingest.faults import bad_spec, listed

_FIELD = "merge_labels"


def merged_names(merge: Mapping[str, str | list[str]], names: Mapping[str, str], column: str) -> dict[str, str]:
    """The new name of each class that is merged into another.

    `merge` is the field of the spec in either of its forms, `names` the class of each label in the file. Raises `Invalid`
    for a label that the file lacks, and for one that is to become two classes.
    """
    known = {**names, **{name: name for name in names.values()}}
    target_of: dict[str, str] = {}
    for label, target in _pairs(merge):
        if label not in known:
            if label == target:
                continue
            raise bad_spec(_FIELD, _unknown(label, column, sorted(set(names.values()))))
        source = known[label]
        earlier = target_of.setdefault(source, target)
        if earlier != target:
            raise bad_spec(_FIELD, f"{label!r} is to become {earlier!r} and {target!r}; name it once")
    for source, target in target_of.items():
        onward = target_of.get(target, target)
        if onward != target:
            raise bad_spec(_FIELD, f"{source!r} is to become {target!r}, and {target!r} is to become {onward!r}")
    return {source: target for source, target in target_of.items() if source != target}


def _pairs(merge: Mapping[str, str | list[str]]) -> list[tuple[str, str]]:
    """Each label with the class that it becomes, without the spaces around them."""
    pairs = []
    for key, value in merge.items():
        if isinstance(value, str):
            pairs.append((key.strip(), value.strip()))
        else:
            pairs += [(label.strip(), key.strip()) for label in value]
    for label, target in pairs:
        if not target:
            raise bad_spec(_FIELD, f"{label!r} is to become a class without a name")
    return pairs


def _unknown(label: str, column: str, names: list[str]) -> str:
    close = get_close_matches(label, names, n=1, cutoff=0.5)
    hint = f"; did you mean {close[0]!r}?" if close else ""
    return f"no label {label!r} in {column!r}; its labels are {listed(names)}{hint}"
