"""Intervals of pandas, such as `pandas.cut` gives, as texts: (0, 10]."""

from typing import Any

from usual_suspects.client.submissions.prepared import package


def has_intervals(kind: Any) -> bool:
    """Whether a type of a column holds intervals, or categories that are some."""
    kind = kind.categories.dtype if hasattr(kind, "categories") else kind
    return hasattr(kind, "subtype") and hasattr(kind, "closed")


def as_texts(column: Any) -> Any:
    """A Series of a column, with texts in place of intervals; missing values stay."""
    series = package("pandas", "a pandas frame").Series(column)
    if not has_intervals(series.dtype):
        return series
    if hasattr(series.dtype, "categories"):
        return series.cat.rename_categories([str(one) for one in series.cat.categories])
    return series.astype(object).map(str, na_action="ignore")


def from_texts(column: Any, kind: Any) -> Any:
    """A Series of texts with the intervals of the type again, where every text is one of them or is missing; else as it is."""
    pandas = package("pandas", "a pandas frame")
    values = column.astype(object)
    if hasattr(kind, "categories"):
        found = values.map({str(one): one for one in kind.categories})
    else:
        found = values.map(lambda text: _interval(pandas, text, kind), na_action="ignore")
    return found.astype(kind) if found.notna().equals(values.notna()) else column


def _interval(pandas: Any, text: str, kind: Any) -> Any:
    left, _, right = text[1:-1].partition(", ")
    ends = pandas.Series([left, right]).astype(kind.subtype)
    return pandas.Interval(ends[0], ends[1], closed=kind.closed)
