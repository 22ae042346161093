"""Columns that say which samples belong together, such as a patient, a session or a document."""

import re

from service.ingest.column_counts import ColumnCounts
from service.ingest.left_out import LeftOut

_OF_GROUPS = (
    "patients?|subjects?|participants?|probands?|donors?|sessions?|users?|customers?|clients?|visitors?|documents?|docs?|"
    "speakers?|persons?|people|students?|pupils?|players?|members?|households?|famil(y|ies)|groups?|authors?|"
    "writers?|videos?|clips?|recordings?|scenes?|slides?|lesions?|conversations?|dialog(ue)?s?|threads?|episodes?|"
    "animals?|mouse|devices?|machines?|sensors?|wells?|plates?|articles?|visits?|stud(y|ies)|series|cases?|accounts?|"
    "trips?|vehicles?|drivers?|user_?names?"
)
_OF_PURCHASES = "invoices?|orders?|baskets?|transactions?|mrn"
# patient, patient_id, PatientID, user no, id_patient
_NAMED = re.compile(
    rf"(?i)(.*[_\s.-])?({_OF_GROUPS}|{_OF_PURCHASES})[_\s.-]*(id|ids|uid|uuid|guid|key|no|nr|nbr|num|number|code|hash)|id[_\s.-]({_OF_GROUPS})|mrn"
)
_BARE = re.compile(rf"(?i)({_OF_GROUPS})")
_PLURAL = re.compile(r"(?i).*s|people")
_AN_ID = re.compile(r"(?i)(.*[_\s.-])?(id|uid|uuid|guid|identifier)|(?-i:.*[a-z0-9]I[dD])")
_FEWEST_GROUPS = 10
_FEWEST_BARE_GROUPS = 20


def is_group(column: ColumnCounts) -> bool:
    """Whether a column is named like a group of samples, or like an id, and has values that come again.

    A name that may be that of an ordinary category, such as `device`, needs more values than categories have.
    """
    whole = column.whole == column.numbers
    if column.unusable or column.lengths or not column.present or not whole:
        return False
    different = column.different
    if not column.too_many and not 2 <= different < column.present:
        return False
    if _NAMED.fullmatch(column.name):
        return True
    many = column.too_many or different >= _FEWEST_BARE_GROUPS
    if column.numbers and _PLURAL.fullmatch(column.name):
        return False  # a count of visits, users, students
    if _BARE.fullmatch(column.name):
        return many or (different >= _FEWEST_GROUPS and all(any(map(str.isdigit, text)) for text in column.texts()))
    return bool(_AN_ID.fullmatch(column.name)) and (many or different >= _FEWEST_GROUPS)


def left_out(column: ColumnCounts) -> LeftOut:
    """The reason why such a column is not learnt from."""
    count = column.different
    size = f" ({count:,} values, {column.present / count:.1f} rows each)" if count else ""
    return LeftOut(
        "group_left_out",
        "it says which rows belong together, and a model would memorise it; name it as spec.group, so that rows of one group "
        "do not vouch for each other, or in spec.features to learn from it",
        size,
    )
