"""Names of columns: each of its own, and numbers where a file has none."""

from collections import Counter
from collections.abc import Sequence

from service.domain.dataset import ClientWarning
from service.ingest.faults import listed


def distinct_names(names: Sequence[str]) -> tuple[list[str], dict[str, list[str]]]:
    """Names of columns, a repeated one with .1, .2 … behind it as pandas does, and the new names of each repeated one."""
    taken, renamed = set(names), dict[str, list[str]]()
    counts: Counter[str] = Counter()
    found = []
    for name in names:
        own = name
        while counts[name] and own in taken:
            own = f"{name}.{counts[name]}"
            counts[name] += own in taken
        if own != name:
            renamed.setdefault(name, []).append(own)
        counts[name] = counts[name] or 1
        taken.add(own)
        found.append(own)
    return found, renamed


def repeated_columns(renamed: dict[str, list[str]]) -> tuple[ClientWarning, ...]:
    """The warning about columns of one name."""
    if not renamed:
        return ()
    each = listed([f"{name!r} (now also {', '.join(map(repr, others))})" for name, others in renamed.items()])
    detail = f"more than one column is called so: {each}; give each column a name of its own"
    return (ClientWarning(code="repeated_columns", detail=detail),)


def numbered_columns(count: int) -> list[str]:
    """Names of the columns of a table without a header."""
    return [f"column_{number}" for number in range(1, count + 1)]
