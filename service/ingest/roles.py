"""Roles of columns: label, id, split and inputs, from the client's spec and the survey."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from service.domain.dataset import ClientWarning, DatasetSpec, FeatureKind, Inferred, Modality
from service.ingest import values
from service.ingest.column_counts import ColumnCounts
from service.ingest.conventions import Conventions, conventions_of
from service.ingest.faults import bad_spec, invalid, listed, no_such_column
from service.ingest.kinds import Input, is_called_text, is_constant, is_prose, kind_of
from service.ingest.labels import classes_of, guess_label
from service.ingest.limits import Limits
from service.ingest.source import DeclaredContents, RowSource
from service.ingest.survey import Survey, missing_words
from service.ingest.value_warnings import warnings_of
from service.ingest.values import MissingWords

_SPLIT_NAMES = ("split", "subset", "fold", "partition", "set")
_TEXT_NAME = re.compile(
    r"(?i)(.*[_\s.-])?(text|sentence|question|review|headline|title|body|content|message|tweet|document)s?"
)
_BESIDE_TEXT, _BESIDE_NAMED_TEXT = 2, 5  # other columns
_VECTOR_NAME = re.compile(r"(?i).*(embed|vector|feature|representation)")

_MOST_SPLITS = 100
_FEWEST_CLASSES = 2


@dataclass(frozen=True)
class Plan:
    """Roles of the columns, by which the second pass writes the canonical file."""

    modality: Modality
    label: str
    id: str | None
    split: str | None
    path: str | None  # the column that names the image files
    inputs: tuple[Input, ...]
    classes: tuple[str, ...]
    whole_labels: bool  # "1.0" is the class "1"
    inferred: Inferred
    warnings: tuple[ClientWarning, ...]
    words: MissingWords
    stated: DeclaredContents | None = None  # where the format itself says it all


def make_plan(source: RowSource, survey: Survey, spec: DatasetSpec, limits: Limits) -> Plan:
    """Decide the role of every column. Raises `Invalid` naming the field of the spec or the column of the file."""
    if source.stated is not None:
        return _stated_plan(source, source.stated, survey, spec)
    columns = dict(survey.columns)
    if source.image is not None:
        columns.setdefault(source.image, ColumnCounts(source.image, 0))
    check_names(spec, list(columns))
    label = spec.label_column or _declared_label(source.label, spec) or guess_label(columns, survey.rows, spec)
    split = spec.split or source.split or _guess_split(columns, label)
    identity = spec.id or _guess_id(survey, source, spec, {label, split})
    whole, classes = classes_of(columns[label], survey.rows, limits)
    left = [
        column
        for column in columns.values()
        if column.name not in {label, split, identity, source.path, *spec.exclude}
        and (spec.features is None or column.name in spec.features)
    ]
    warnings: list[ClientWarning] = list(source.warnings)
    conventions = conventions_of(columns.values(), source.delimiter, spec)
    modality, inputs = _inputs(left, survey, spec, source, conventions, warnings)
    if split is not None:
        _check_splits(columns[split], split, warnings)
    inferred = Inferred(
        label=None if spec.label_column else label,
        id=None if spec.id else identity,
        split=None if spec.split else split,
        modality=modality if spec.modality == "auto" else None,
        format=source.format,
    )
    path = source.path if modality == "image" else None
    words = missing_words(source, spec)
    return Plan(modality, label, identity, split, path, inputs, classes, whole, inferred, tuple(warnings), words)


def _stated_plan(source: RowSource, stated: DeclaredContents, survey: Survey, spec: DatasetSpec) -> Plan:
    if spec.modality not in ("auto", stated.modality):
        raise bad_spec("modality", f"the arrays of the file are read as {stated.modality}; leave it out")
    for field, names in (("features", spec.features), ("exclude", spec.exclude or None)):
        if names is not None:
            raise bad_spec(field, f"the arrays of {stated.modality} are all used; leave them out of the file")
    if len(survey.columns["label"].texts()) < _FEWEST_CLASSES:
        raise invalid("all labels are of one class; at least 2 classes are needed", "array labels")
    inputs = tuple(Input(name, "embedding", stated.column(name), width=width) for name, width in stated.vectors.items())
    modality = stated.modality if spec.modality == "auto" else None
    inferred = Inferred(label="label", id=source.id, split="split", modality=modality, format=source.format)
    return Plan(
        stated.modality,
        "label",
        source.id,
        "split",
        None,
        inputs,
        stated.classes,
        False,
        inferred,
        source.warnings,
        MissingWords(),
        stated,
    )


def _declared_label(label: str | None, spec: DatasetSpec) -> str | None:
    """The label column that the format itself names, unless the client gives that column another role."""
    return None if label in (spec.id, spec.split, *spec.exclude, *(spec.features or ())) else label


def check_names(spec: DatasetSpec, columns: Sequence[str]) -> None:
    """Raise `Invalid` for a column of the spec that the file lacks, or that is given two roles."""
    named = {"label": spec.label_column, "id": spec.id, "split": spec.split, "group": spec.group}
    for field, name in named.items():
        if name is not None and name not in columns:
            raise no_such_column(field, name, columns)
        if name is not None and name in spec.exclude:
            raise bad_spec("exclude", f"{name!r} is the {field} column")
        if name is not None and name in (spec.features or ()):
            raise bad_spec("features", f"{name!r} is the {field} column, which is not learnt from")
    for field, names in (("features", spec.features or []), ("exclude", spec.exclude), ("kinds", list(spec.kinds))):
        for name in names:
            if name not in columns:
                raise no_such_column(field, name, columns)
    given = Counter(name for name in (spec.label_column, spec.id, spec.split) if name is not None)
    twice = next((name for name, count in given.items() if count > 1), None)
    if twice is not None:
        raise bad_spec("id" if spec.id == twice else "split", f"{twice!r} is named twice, for different purposes")


def _guess_split(columns: dict[str, ColumnCounts], label: str) -> str | None:
    by_name = {name.strip().lower(): column for name, column in columns.items() if name != label}
    for name in _SPLIT_NAMES:
        texts = by_name[name].texts() if name in by_name else {}
        if texts and all(values.split_name(text) for text in texts):
            return by_name[name].name
    return None


def _guess_id(survey: Survey, source: RowSource, spec: DatasetSpec, taken: set[str | None]) -> str | None:
    """The first column that is named like an id and names every row, each by another text or whole number."""
    if source.ids_hold:
        return source.id
    taken = {*taken, source.path, *spec.exclude, *(spec.features or ())}
    names = [name for name in survey.repeats if name not in taken and _identifies(survey, name)]
    return source.id if source.id in names else next(iter(names), None)


def _identifies(survey: Survey, name: str) -> bool:
    column = survey.columns[name]
    whole = column.numbers == 0 or column.whole == column.numbers
    blank = column.null > 0 or "" in (column.distinct or ())
    return whole and survey.rows > 1 and not blank and survey.repeats[name] is None


def _check_splits(column: ColumnCounts, name: str, warnings: list[ClientWarning]) -> None:
    texts = column.texts()
    if column.distinct is None or len(texts) > _MOST_SPLITS:
        raise bad_spec("split", f"{name!r} has too many different values to be a split: train, validation, test …")
    if not any(values.split_name(text) == "train" for text in texts) and column.missing == 0:
        detail = f"no row of {name!r} says train, but {', '.join(sorted(texts))}"
        warnings.append(ClientWarning(code="no_train_split", detail=detail))


def _inputs(
    columns: Sequence[ColumnCounts],
    survey: Survey,
    spec: DatasetSpec,
    source: RowSource,
    conventions: Conventions,
    warnings: list[ClientWarning],
) -> tuple[Modality, tuple[Input, ...]]:
    image = next((column for column in columns if column.name == source.image), None)
    others = [column for column in columns if column is not image]
    learnable = _without_useless(others, survey, spec, conventions, warnings)
    modality = spec.modality if spec.modality != "auto" else source.modality or "auto"
    if modality == "auto":
        modality = _guess_modality(image is not None, learnable, survey)
    if modality == "image" or (image is not None and spec.modality == "auto"):
        if image is None:
            raise bad_spec("modality", "the file has no images")
        _leave_out([one.name for one in learnable], "features_left_out", "beside the image", warnings)
        return "image", (Input(image.name, "image", "image", why="encoded images"),)
    kinds: dict[Modality, tuple[FeatureKind, ...]] = {
        "embedding": ("embedding",),
        "text": ("text",),
        "tabular": ("numeric", "categorical", "boolean", "datetime", "time"),
    }
    if modality not in kinds:
        raise bad_spec("modality", f"{modality} is read from safetensors or NPZ, and this is {source.format}")
    fitting = [one for one in learnable if one.kind in kinds[modality]]
    if modality == "text" and not fitting:
        fitting = [replace(one, kind="text") for one in learnable if one.kind == "categorical"]
        fitting.sort(key=lambda one: -len(survey.columns[one.name].texts()))
    elif modality == "text":
        fitting.sort(key=lambda one: -survey.columns[one.name].words)
    if not fitting:
        raise _nothing_to_learn(modality, spec, columns, learnable)
    if modality == "tabular":
        chosen = tuple(replace(one, column=f"f{position}") for position, one in enumerate(fitting))
    else:
        preferred = sorted(fitting, key=lambda one: not _VECTOR_NAME.match(one.name)) if modality != "text" else fitting
        chosen = (replace(preferred[0], column=modality),)
    names = {one.name for one in chosen}
    texts = [one.name for one in learnable if one.name not in names and one.kind == "text"]
    _leave_out(texts, "text_left_out", "long text, or text that differs in every row", warnings)
    rest = [one.name for one in learnable if one.name not in names and one.kind != "text"]
    _leave_out(rest, "features_left_out", f"the data is read as {modality}", warnings)
    warnings += warnings_of(chosen, survey.columns, conventions)
    return modality, chosen


def _guess_modality(image: bool, learnable: Sequence[Input], survey: Survey) -> Modality:
    kinds = {one.kind for one in learnable}
    if image:
        return "image"
    if "embedding" in kinds:
        return "embedding"
    texts = [survey.columns[one.name] for one in learnable if one.kind == "text"]
    prose = [column.name for column in texts if is_prose(column) or is_called_text(column)]
    # A note in a table of measurements does not make it text; a topic or two beside a question do not make it a table.
    beside = [one.kind for one in learnable if one.kind != "text"]
    if any(_TEXT_NAME.fullmatch(name) for name in prose):
        about = len(beside) <= _BESIDE_NAMED_TEXT
    else:
        about = len(beside) <= _BESIDE_TEXT and set(beside) <= {"categorical"}
    return "text" if kinds == {"text"} or (prose and about) else "tabular"


def _without_useless(
    columns: Sequence[ColumnCounts],
    survey: Survey,
    spec: DatasetSpec,
    conventions: Conventions,
    warnings: list[ClientWarning],
) -> list[Input]:
    """Leave out columns with nothing to learn from, and columns that identify rows, each with a warning."""
    kept: list[Input] = []
    empty, constant, nested, ids = [], [], [], []
    for column in columns:
        if not column.present:
            empty.append(column.name)
        elif column.unusable:
            nested.append(column.name)
        elif is_constant(column):
            constant.append(column.name)
        elif (
            column.name in survey.repeats
            and column.name not in (*(spec.features or ()), *spec.kinds)
            and _identifies(survey, column.name)
        ):
            ids.append(column.name)
        elif (found := kind_of(column, survey.rows, conventions, spec.kinds.get(column.name))) is None:
            nested.append(column.name)
        else:
            kept.append(found)
    _leave_out(empty, "empty_column", "no value in any row", warnings)
    _leave_out(constant, "constant_column", "the same value in every row", warnings)
    _leave_out(nested, "nested_left_out", "structures, empty lists and binary data are not learnt from", warnings)
    _leave_out(ids, "identifier_left_out", "it identifies the rows, and a model would memorise it", warnings)
    return kept


def _leave_out(names: Sequence[str], code: str, why: str, warnings: list[ClientWarning]) -> None:
    if names:
        warnings.append(ClientWarning(code=code, detail=f"left out, {why}: {listed(names)}"))


def _nothing_to_learn(
    modality: Modality, spec: DatasetSpec, columns: Sequence[ColumnCounts], learnable: Sequence[Input]
) -> Exception:
    found = ", ".join(f"{one.name} ({one.kind})" for one in learnable[:10]) or "none that varies"
    if spec.modality != "auto":
        return bad_spec("modality", f"no column fits {modality!r}; the columns that may be learnt from: {found}")
    return invalid(
        f"nothing to learn from: beside label, id and split there is {listed([c.name for c in columns]) or 'no column'}, "
        "each empty, constant, or naming the rows"
    )
