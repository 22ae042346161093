"""Names of samples and classes: a value of the submitted data is what the service calls it.

The service reads ids and labels as texts: whole floats without a point, true and false, dates and times by their digits.
"""

import re
from collections.abc import Hashable, Iterable, Mapping
from datetime import date, time, timedelta
from numbers import Integral
from typing import Any

from usual_suspects.client.submissions.prepared import Origin, is_of

_NO_NAMES = (Mapping, list, tuple, set, frozenset)


def sample_name(value: Any, origin: Origin | None = None) -> str:
    """The id of a sample: of a value of the index, or of the column of ids. Raises TypeError and ValueError.

    A default index names no samples; its values are those of the rows by their place. Without `origin` the units and the zone of a time
    are its own.
    """
    if isinstance(value, str):
        return value
    if origin is None:
        return text_of(value)
    if origin.places is not None and isinstance(value, Integral):
        if value not in origin.places:
            raise ValueError(f"{value} is not in the index of the frame that was submitted")
        return f"row-{origin.places.index(int(value))}"
    if is_of(value, "pandas", "Timestamp"):
        value = _in_the_form_of(value, getattr(origin.template, "index", None))
    return text_of(value)


def class_name(value: Any, classes: Iterable[str] = (), origin: Origin | None = None) -> str:
    """The class of a label: the one of `classes` that it may be called, else its text. Raises TypeError."""
    value = value.item() if is_of(value, "torch", "Tensor") else value
    if origin is not None and not isinstance(value, str):
        for text, known in origin.labels.items():
            if known == value and isinstance(known, bool) == isinstance(value, bool):
                return text
    text = text_of(value)
    said = text.strip()
    alike = (text, str(value), said, said.lower() if said in ("True", "False") else said, _plain(said))
    named = set(classes)
    return next((one for one in alike if one in named), text)


def text_of(value: Any) -> str:
    """The text that the service makes of a value of a column. Raises TypeError for what has none."""
    if isinstance(value, str):
        return value
    if isinstance(value, _NO_NAMES) or is_missing(value):
        raise TypeError(
            f"{value!r} names no sample and no class: give an id or a label, as a text or a value of the data"
        )
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int):
        return str(value)
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    plain = isinstance(value, float | date | time | timedelta) or is_of(value, "decimal", "Decimal")
    if plain or is_of(value, "numpy", "generic"):
        return _as_arrow_writes(value)
    return str(value)


def is_missing(value: Any) -> bool:
    """Whether nothing stands there: None, NaN or NaT, which differ from themselves, or NA of pandas."""
    return value is None or type(value).__name__ == "NAType" or (isinstance(value, Hashable) and value != value)


def _in_the_form_of(value: Any, index: Any) -> Any:
    """A time in the unit and the zone of an index of times; in its own where the index holds something else."""
    zone = getattr(index, "tz", None)
    if not hasattr(index, "as_unit") or (value.tz is None) != (zone is None):
        return value
    return (value if zone is None else value.tz_convert(zone)).as_unit(index.unit)


def _as_arrow_writes(value: Any) -> str:
    import pyarrow as pa
    import pyarrow.compute as pc

    if is_of(value, "pandas", "Timestamp", "Timedelta"):
        kind = (
            pa.timestamp(value.unit, str(value.tz) if value.tz else None)
            if hasattr(value, "tz")
            else pa.duration(value.unit)
        )
        column = pa.array([value], kind)
    elif is_of(value, "numpy", "generic"):
        import numpy as np

        column = pa.array(np.asarray([value]))
    else:
        column = pa.array([value])
    if pa.types.is_timestamp(column.type) and column.type.unit == "s":  # Parquet has no seconds
        column = column.cast(pa.timestamp("ms", column.type.tz))
    if pa.types.is_float16(column.type):
        column = column.cast(pa.float32())
    try:
        text = str(pc.cast(column, pa.string())[0])
    except pa.ArrowNotImplementedError:  # of durations and the like, which Arrow does not write as texts
        return str(value)
    return _plain(text) if pa.types.is_floating(column.type) or pa.types.is_decimal(column.type) else text


def _plain(text: str) -> str:
    """A number without noughts after its point."""
    return re.sub(r"\.0*$", "", text)
