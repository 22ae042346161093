"""Columns that say who gave the label."""

import re
from collections.abc import Iterable

from service.domain.dataset import DatasetSpec
from service.ingest.column_counts import ColumnCounts
from service.ingest.left_out import LeftOut

# annotator, annotator_id, _annotator_id, AnnotatorEmail, labeller, annotated_by, labeled by. No plural: that may be a count.
_NAMED = re.compile(
    r"(?i)_?((annotator|labell?er)([_\s.-]*(id|uid|uuid|guid|name|username|email|key|code))?|"
    r"(annotated|labell?ed)[_\s.-]*by([_\s.-]*(id|uid|uuid|name|username|email))?)"
)
_LEFT_OUT = LeftOut(
    "annotator_left_out",
    "it says who gave the label, and not what the label is about; name it in spec.features to learn from it",
)


def annotator_columns(columns: Iterable[ColumnCounts], spec: DatasetSpec) -> list[str]:
    """Columns that by their names and values can only say who gave the label, but for those to which the client gives a use."""
    used = {spec.label_column, spec.id, spec.split, spec.group, *spec.exclude, *(spec.features or ()), *spec.kinds}
    return [column.name for column in columns if column.name not in used and _names_annotators(column)]


def _names_annotators(column: ColumnCounts) -> bool:
    """Whether a column is named so, and holds names or numbers that come again."""
    if not _NAMED.fullmatch(column.name) or column.unusable or column.lengths or column.whole < column.numbers:
        return False
    return not column.too_many and 0 < 2 * column.different <= column.present


def others_left_out(columns: Iterable[str], chosen: str | None) -> dict[str, LeftOut]:
    """The reason for columns that say the same as the chosen one, such as the names beside the ids."""
    return {name: _LEFT_OUT for name in columns if name != chosen}
