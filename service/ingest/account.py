"""What a dataset says of each column of its upload."""

from service.domain.dataset import Column, ColumnRole, DatasetSpec, FeatureKind
from service.ingest.column_counts import EXAMPLE_CHARACTERS, EXAMPLES, ColumnCounts
from service.ingest.conventions import Conventions
from service.ingest.kinds import Input, kind_of
from service.ingest.roles import Plan
from service.ingest.survey import Survey


def columns_of(plan: Plan, survey: Survey, spec: DatasetSpec) -> list[Column]:
    """Role and kind of each column with their reasons, missing and unreadable values and examples, in the upload's order.

    Images are not looked at in the first pass, so that nothing is counted of them.
    """
    inputs = {one.name: one for one in plan.inputs}
    roles = _roles(plan, spec)
    found = []
    for name in dict.fromkeys((*survey.columns, *inputs)):
        counts = survey.columns.get(name) or ColumnCounts(name, 0)
        if name in inputs:
            found.append(_described(inputs[name], counts, "input"))
        elif name == plan.label:
            why = f"{roles[name][1]}; {len(plan.classes):,} classes"
            found.append(_column(counts, "label", "categorical", why, _unlabelled(counts, plan, survey.rows)))
        else:
            role, why = roles.get(name) or _left_out(plan, name)
            found.append(_with_kind(counts, role, why, survey.rows, plan.conventions))
    return found


def _unlabelled(counts: ColumnCounts, plan: Plan, rows: int) -> int:
    """How many rows have no label; of formats that state their classes no label is missing."""
    counted = counts.distinct
    if counted is None or not plan.class_names:
        return counts.null
    return rows - sum(counted[text] for text in plan.class_names)


def _described(one: Input, counts: ColumnCounts, role: ColumnRole, why: str = "") -> Column:
    return _column(counts, role, one.kind, why + one.why, one.missing, one.unreadable)


def _with_kind(counts: ColumnCounts, role: ColumnRole, why: str, rows: int, conventions: Conventions) -> Column:
    """A column that is not learnt from, with the kind that its values have."""
    one = kind_of(counts, rows, conventions)
    if one is None:
        return _column(counts, role, None, why, counts.missing)
    return _described(one, counts, role, f"{why}; ")


def _column(
    counts: ColumnCounts, role: ColumnRole, kind: FeatureKind | None, why: str, missing: int, unreadable: int = 0
) -> Column:
    return Column(
        name=counts.name,
        role=role,
        kind=kind,
        why=why,
        missing=missing,
        unreadable=unreadable,
        examples=_examples(counts),
    )


def _examples(counts: ColumnCounts) -> list[str]:
    """Two values that differ; none that is missing, where the values were few enough to be told apart."""
    return [text[:EXAMPLE_CHARACTERS] for text in counts.first_texts(EXAMPLES)] or counts.examples


def _roles(plan: Plan, spec: DatasetSpec) -> dict[str, tuple[ColumnRole, str]]:
    asked: dict[ColumnRole, tuple[str | None, bool, str]] = {
        "path": (plan.path, False, "it names the files of the images"),
        "split": (plan.split, spec.split is not None, "its values are names of splits"),
        "group": (plan.group, spec.group is not None, "its rows belong together"),
        "annotator": (plan.annotator, spec.annotator is not None, "it is called like those who give labels"),
        "id": (plan.id, spec.id is not None, "it names each row by another value"),
        "label": (plan.label, spec.label is not None, "it is called like a label, or is the only column of classes"),
    }
    return {
        name: (role, f"spec.{role} names it" if said else why)
        for role, (name, said, why) in asked.items()
        if name is not None
    }


def _left_out(plan: Plan, name: str) -> tuple[ColumnRole, str]:
    reason = plan.left_out.get(name)
    return "left_out", f"{reason.why}{reason.note}" if reason is not None else "it is not learnt from"
