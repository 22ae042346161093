"""Which tests take longer than 30 ms: `make test-fast` leaves them out. `make slow` measures them anew."""

from collections import defaultdict
from collections.abc import Iterable
from pathlib import Path

import pytest

_LIST = Path(__file__).with_name("slow.txt")
_SLOW_S = 0.03


def slow_tests() -> frozenset[str]:
    """Ids of the slow test functions, without parameters."""
    return frozenset(_LIST.read_text().split())


def write_slow_tests(reports: Iterable[pytest.TestReport]) -> None:
    """Write the list from the times of a run: the mean over the cases of a function, setup included."""
    seconds: dict[str, float] = defaultdict(float)
    cases: dict[str, set[str]] = defaultdict(set)
    for report in reports:
        function = report.nodeid.split("[")[0]
        seconds[function] += report.duration
        cases[function].add(report.nodeid)
    slow = sorted(function for function, total in seconds.items() if total / len(cases[function]) > _SLOW_S)
    _LIST.write_text("".join(f"{function}\n" for function in slow))
