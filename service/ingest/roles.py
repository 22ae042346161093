"""Roles of columns: label, id, split, group, annotator and inputs, from the client's spec and the survey."""

import dataclasses
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from service.domain.dataset import ClientWarning, DatasetSpec, FeatureKind, Inferred, Modality
from service.ingest import annotators, groups, leaks
from service.ingest.column_counts import ColumnCounts
from service.ingest.conventions import Conventions, conventions_of
from service.ingest.faults import bad_spec, invalid, listed, no_such_column
from service.ingest.kinds import Input, is_called_text, is_constant, is_prose, kind_of
from service.ingest.label_copies import label_copies
from service.ingest.label_guess import LabelGuess, guess_label
from service.ingest.labels import missing_labels, read_labels
from service.ingest.left_out import LeftOut, left_out_warnings, nothing_to_learn
from service.ingest.limits import Limits
from service.ingest.one_hot import one_hot_groups
from service.ingest.source import DeclaredContents, RowSource
from service.ingest.splits import check_splits, guess_split
from service.ingest.survey import Survey, id_doubt, missing_words
from service.ingest.value_warnings import warnings_of
from service.ingest.values import MissingWords

_TEXT_NAME = re.compile(
    r"(?i)(.*[_\s.-])?(text|sentence|question|review|headline|title|body|content|message|tweet|document)s?"
)
_BESIDE_TEXT, _BESIDE_NAMED_TEXT = 2, 5  # other columns
_VECTOR_NAME = re.compile(r"(?i).*(embed|vector|feature|representation)")

_SAVED_INDEX = re.compile(r"(?i)unnamed[_: ]*\d.*|__index_level_\d+__|index|rownames|row[_ .]names?")
_CODE = re.compile(r"(?=.*\d)[\w#/.:-]{1,64}")
_FEW_PLACES = 20
_ENOUGH_ROWS = 20
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
    class_names: Mapping[str, str]  # stripped label -> class; a label that is not in it is none
    inferred: Inferred
    warnings: tuple[ClientWarning, ...]
    words: MissingWords
    conventions: Conventions = dataclasses.field(default_factory=Conventions)
    group: str | None = None  # the column that says which samples belong together
    annotator: str | None = None  # the column that says who gave the label
    # Why each column is not learnt from that might be.
    left_out: Mapping[str, LeftOut] = dataclasses.field(default_factory=dict)
    stated: DeclaredContents | None = None  # where the format itself says it all


def make_plan(source: RowSource, survey: Survey, spec: DatasetSpec, limits: Limits) -> Plan:
    """Decide the role of every column. Raises `Invalid` naming the field of the spec or the column of the file.

    The source is read again, as far as needed, where a column may be the label in other words.
    """
    if source.stated is not None:
        return _stated_plan(source, source.stated, survey, spec)
    columns = dict(survey.columns)
    if source.image is not None:
        columns.setdefault(source.image, ColumnCounts(source.image, 0))
    check_names(spec, list(columns))
    said = spec.label_column or _declared_label(source.label, spec)
    who = annotators.annotator_columns((one for one in columns.values() if one.name != source.label), spec)
    annotator = spec.annotator or next(iter(who), None)
    free_of_who = {name: column for name, column in columns.items() if name not in (annotator, *who)}
    guess = LabelGuess(said) if said is not None else _guess_label(source, survey, free_of_who, spec)
    label = guess.name
    split = spec.split or source.split or guess_split(columns, label)
    identity = spec.id or _guess_id(survey, source, spec, {label, split, spec.group, annotator})
    words = missing_words(source, spec)
    reading = read_labels(columns[label], survey.rows, spec, missing_labels(spec, source), limits)
    roles = {label, split, identity, source.path, spec.group, annotator}
    others = [column for column in columns.values() if column.name not in roles]
    left_out = _not_asked_for(others, spec) | annotators.others_left_out(who, annotator)
    free = [column for column in others if column.name not in left_out]
    asked = {*(spec.features or ()), *spec.kinds}
    # A column that the client leaves out may repeat the label, too. A corrected file must change it.
    usable = [one for one in others if groups.is_group(one) or not _uselessness(one, survey, spec)]
    suspects = [one for one in usable if one.name not in asked]
    found = leaks.find_leaks(source, label, reading, suspects, survey.rows, words)
    copies = leaks.copies(found)
    guess = guess.without(copies)
    changing = label_copies(source, columns[label], found, columns)
    warnings: list[ClientWarning] = [*source.warnings, *guess.warnings(), *reading.warnings]
    conventions = conventions_of(columns.values(), source.delimiter, spec)
    left_out = leaks.left_out(found, label, changing) | left_out
    modality, inputs = _inputs(free, survey, spec, source, conventions, left_out)
    learnt = {one.name for one in inputs}
    warnings += leaks.leak_warnings([one for one in found if one.name in learnt], label)
    if split is not None:
        warnings += check_splits(columns[split], split)
    grouping = [one.name for one in others if groups.is_group(one) and one.name not in copies]
    inferred = Inferred(
        label=None if spec.label_column else label,
        id=None if spec.id else identity,
        split=None if spec.split else split,
        annotator=None if spec.annotator else annotator,
        modality=modality if spec.modality == "auto" else None,
        group_candidates=[] if spec.group else grouping,
        label_candidates=guess.candidates,
        label_copies=changing,
        format=source.format,
    )
    return Plan(
        modality,
        label,
        identity,
        split,
        source.path if modality == "image" else None,
        inputs,
        reading.classes,
        reading.names,
        inferred,
        (
            *warnings,
            *left_out_warnings(left_out),
            *_counter_warnings(inputs, survey, spec),
            *warnings_of(inputs, survey.columns, conventions),
        ),
        words,
        conventions=conventions,
        group=spec.group,
        annotator=annotator,
        left_out=left_out,
    )


def _guess_label(source: RowSource, survey: Survey, columns: dict[str, ColumnCounts], spec: DatasetSpec) -> LabelGuess:
    free = {name: column for name, column in columns.items() if name not in {source.path, source.id}}
    return guess_label(free, survey.rows, spec, lambda: one_hot_groups(source, free, survey.rows))


def _not_asked_for(columns: Sequence[ColumnCounts], spec: DatasetSpec) -> dict[str, LeftOut]:
    """The columns that the client leaves out."""
    excluded = {name: LeftOut("", "spec.exclude names it") for name in spec.exclude}
    if spec.features is None:
        return excluded
    unnamed = [column.name for column in columns if column.name not in spec.features]
    return excluded | {name: LeftOut("", "spec.features does not name it") for name in unnamed}


def _stated_plan(source: RowSource, stated: DeclaredContents, survey: Survey, spec: DatasetSpec) -> Plan:
    if spec.modality not in ("auto", stated.modality):
        raise bad_spec("modality", f"the arrays of the file are read as {stated.modality}; leave it out")
    if spec.merge_labels:
        raise bad_spec(
            "merge_labels", f"each class is a column of the arrays of {stated.modality}; merge both in the file"
        )
    for field, names in (("features", spec.features), ("exclude", spec.exclude or None)):
        if names is not None:
            raise bad_spec(field, f"the arrays of {stated.modality} are all used; leave them out of the file")
    if survey.columns["label"].different < _FEWEST_CLASSES:
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
        {name: name for name in stated.classes},
        inferred,
        source.warnings,
        MissingWords(),
        stated=stated,
    )


def _declared_label(label: str | None, spec: DatasetSpec) -> str | None:
    """The label column that the format itself names, unless the client gives that column another role."""
    return None if label in (spec.id, spec.split, *spec.exclude, *(spec.features or ())) else label


def check_names(spec: DatasetSpec, columns: Sequence[str]) -> None:
    """Raise `Invalid` for a column of the spec that the file lacks, or that is given two roles."""
    named = {"label": spec.label_column} | {one: getattr(spec, one) for one in ("id", "split", "group", "annotator")}
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
    given = Counter(name for name in named.values() if name is not None)
    twice = next((name for name, count in given.items() if count > 1), None)
    if twice is not None:
        again = [field for field, name in named.items() if name == twice][1]
        raise bad_spec(again, f"{twice!r} is named twice, for different purposes")


def _guess_id(survey: Survey, source: RowSource, spec: DatasetSpec, taken: set[str | None]) -> str | None:
    """A tool's own id; else the path of an image; else the column that is named most like an id.

    It names every row, each by another text or whole number.
    """
    if source.ids_hold:
        return source.id
    taken = {*taken, *spec.exclude, *(spec.features or ())}
    names = [name for name in survey.repeats if name not in taken and _identifies(survey, name)]
    for name in (source.path if source.image is not None else None, source.id):
        if name in names:
            return name
    named = [name for name in names if name != source.path and id_doubt(name) is not None]
    return min(named, key=lambda name: id_doubt(name) or 0, default=None)


def _identifies(survey: Survey, name: str) -> bool:
    column = survey.columns[name]
    whole = column.numbers == 0 or column.whole == column.numbers
    blank = column.null > 0 or column.has_blank
    return whole and survey.rows > 1 and not blank and survey.repeats[name] is None


def _inputs(
    columns: Sequence[ColumnCounts],
    survey: Survey,
    spec: DatasetSpec,
    source: RowSource,
    conventions: Conventions,
    left_out: dict[str, LeftOut],
) -> tuple[Modality, tuple[Input, ...]]:
    """The modality and the columns to learn from; the reasons why others are not are added to `left_out`."""
    image = next((column for column in columns if column.name == source.image), None)
    others = [column for column in columns if column is not image and column.name not in left_out]
    learnable = _without_useless(others, survey, spec, conventions, left_out)
    modality = spec.modality if spec.modality != "auto" else source.modality or "auto"
    if modality == "auto":
        modality = _guess_modality(image is not None, learnable, survey)
    if modality == "image" or (image is not None and spec.modality == "auto"):
        if image is None:
            raise bad_spec("modality", "the file has no images")
        left_out |= {one.name: LeftOut("features_left_out", "beside the image") for one in learnable}
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
        fitting.sort(key=lambda one: -survey.columns[one.name].different)
    elif modality == "text":
        fitting.sort(key=lambda one: -survey.columns[one.name].words)
    if not fitting:
        if spec.modality != "auto":
            found = ", ".join(f"{one.name} ({one.kind})" for one in learnable[:10]) or "none that varies"
            raise bad_spec("modality", f"no column fits {modality!r}; the columns that may be learnt from: {found}")
        raise nothing_to_learn(left_out)
    if modality == "tabular":
        chosen = tuple(replace(one, column=f"f{position}") for position, one in enumerate(fitting))
    else:
        preferred = sorted(fitting, key=lambda one: not _VECTOR_NAME.match(one.name)) if modality != "text" else fitting
        chosen = (replace(preferred[0], column=modality),)
    taken = {one.name for one in chosen}
    unused = [one for one in learnable if one.name not in taken]
    text = LeftOut("text_left_out", "long text, or text that differs in every row")
    other = LeftOut("features_left_out", f"the data is read as {modality}")
    left_out |= {one.name: text if one.kind == "text" else other for one in unused}
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


_EMPTY = LeftOut("empty_column", "no value in any row")
_NESTED = LeftOut("nested_left_out", "structures, lists in lists, empty lists and binary data are not learnt from")
_SHORTENED = LeftOut(
    "shortened_left_out",
    "lists of numbers with '...' in place of their middle, as NumPy and PyTorch show long ones, to be written whole, as by str(array.tolist())",
)
_CONSTANT = LeftOut("constant_column", "the same value in every row")
_IDENTIFIER = LeftOut("identifier_left_out", "it identifies the rows, and a model would memorise it")
_ROW_NUMBER = LeftOut("row_number_left_out", "it counts the rows, and says where a row stands in the file")


def _without_useless(
    columns: Sequence[ColumnCounts],
    survey: Survey,
    spec: DatasetSpec,
    conventions: Conventions,
    left_out: dict[str, LeftOut],
) -> list[Input]:
    """Leave out columns with nothing to learn from, and columns that name rows or groups of rows, each with a reason."""
    kept: list[Input] = []
    codes: list[Input] = []
    for column in columns:
        reason = _uselessness(column, survey, spec)
        found = kind_of(column, survey.rows, conventions, spec.kinds.get(column.name)) if reason is None else None
        if reason is None and found is None:
            reason = _NESTED
        if reason is not None:
            left_out[column.name] = reason
        elif found is not None:
            asked = column.name in (spec.features or ()) or column.name in spec.kinds
            (codes if not asked and _is_code(column, found, survey.rows) else kept).append(found)
    # Words that all differ say who a row is where there are measurements; alone they are the data.
    if kept and spec.modality != "text":
        left_out |= {one.name: _IDENTIFIER for one in codes}
        return kept
    kept += [replace(one, kind="text") for one in codes]
    return kept or _only_counters(columns, survey, conventions, left_out)


def _only_counters(
    columns: Sequence[ColumnCounts], survey: Survey, conventions: Conventions, left_out: dict[str, LeftOut]
) -> list[Input]:
    """Row numbers that are not called so, where there is nothing else: they may be a measurement in order."""
    counters = [one for one in columns if left_out.get(one.name) is _ROW_NUMBER and id_doubt(one.name) is None]
    for one in counters:
        del left_out[one.name]
    return [found for one in counters if (found := kind_of(one, survey.rows, conventions)) is not None]


def _uselessness(column: ColumnCounts, survey: Survey, spec: DatasetSpec) -> LeftOut | None:
    """Why nothing can be learnt from a column, whatever its kind."""
    if not column.present:
        return _EMPTY
    if column.unusable:
        return _NESTED
    if column.name not in spec.kinds and 2 * max(column.shortened, column.nested) > column.present:
        return _SHORTENED if column.shortened > column.nested else _NESTED
    if column.name in (spec.features or ()) or column.name in spec.kinds:
        return None
    if is_constant(column):
        return _CONSTANT
    if column.name in survey.row_numbers:
        return _ROW_NUMBER
    if column.name in survey.repeats and _identifies(survey, column.name):
        return _IDENTIFIER
    if _is_saved_index(column):
        return _ROW_NUMBER
    return groups.left_out(column) if groups.is_group(column) else None


def _is_saved_index(column: ColumnCounts) -> bool:
    """Whether a column is the index of a table that was saved without a name, perhaps of several joined tables."""
    if not _SAVED_INDEX.fullmatch(column.name):
        return False
    whole = column.numbers == column.present and column.whole == column.numbers and column.low >= 0
    return whole and (column.too_many or column.different > _FEW_PLACES)


def _is_code(column: ColumnCounts, found: Input, rows: int) -> bool:
    """Whether a column of texts has another one in every row, which is none that is read."""
    if found.kind not in ("categorical", "text") or column.too_many or rows < _ENOUGH_ROWS:
        return False
    if column.missing or not column.differs_in_each(rows) or _TEXT_NAME.fullmatch(column.name):
        return False
    return found.kind == "categorical" or all(_CODE.fullmatch(text) for text in column.texts())


def _counter_warnings(inputs: Sequence[Input], survey: Survey, spec: DatasetSpec) -> list[ClientWarning]:
    asked = {*(spec.features or ()), *spec.kinds}
    counters = [one.name for one in inputs if one.name in survey.row_numbers and one.name not in asked]
    detail = f"there is nothing to learn from but what counts the rows: {listed(counters)}"
    return [ClientWarning(code="row_number_learnt", detail=detail)] if counters else []
