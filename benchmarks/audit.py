"""What an audit's answers are worth: coverage, width, errors found, cost of goals, beside other methods.

    python -m benchmarks.audit [--runs 1000] [--real-runs 100] [--goal-runs 10] [--proxy-runs 200] [--service-runs 40] [--cache FOLDER] [--kept FOLDER] [--part PART]

A reviewer who knows every label answers 150 draws. Rankings are made ones, and those by `mislabeled` of one job on each development
set (seed 0, 2,000 rows; benchmarks.truth_runs, in the cache of benchmarks.truth). Runs are kept: those that are there are not made
again, and `--part` makes only some. The parts `service` (audits through the API of a running service) and `time` are not kept, and
write their sections. Writes results/audit.md, section by section.
"""

import argparse
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import mean, median

import numpy as np

from benchmarks.audit_runs import (
    IN_A_ROW,
    REVIEWS,
    Cell,
    Played,
    Ranked,
    Values,
    goal_runs,
    made_cells,
    measured_runs,
    proxy_cells,
    real_cells,
)
from benchmarks.audit_service import SETS, answer_times, served_runs, served_table
from benchmarks.result_sections import write_sections
from benchmarks.truth import REPORTED, ROWS, TUNED
from service.audit.goal import Goal
from service.audit.measure import measure

RESULTS = Path(__file__).parent / "results"
KINDS = ("mislabeled_uniform", "mislabeled_human")
GOALS = (Goal("recall", 0.8), Goal("recall", 0.9), Goal("remaining", 0.02), Goal("accept", 0.02))
GOAL_CELLS = (
    *(f"{name}, {kind}" for name in ("mnist", "bank") for kind in ("none planted", "uniform")),
    "yoruba, weak labels",
)
TITLE = "Audits: the number of wrong labels, measured by a reviewer who knows it"
_MANY, _DRAWS = 1_000_000, 1_000

Runs = Mapping[str, Sequence[Values]]


def coverage_table(runs: Runs) -> list[str]:
    """How often intervals hold, by cell."""
    lines = [
        (
            f"| cell | runs | wrong | holds at all {REVIEWS} moments | bound, likewise | holds at the end | normal theory, same draws: at the end "
            "| at every moment from 30 on | uniform, 3 planned looks |"
        ),
        "|---" * 9 + "|",
    ]
    keys = ("always", "bound_always", "end", "normal_end", "normal_always", "uniform_always")
    for name, several in runs.items():
        shares = [_mean(several, key) for key in keys]
        lines.append(
            f"| {name} | {len(several)} | {_mean(several, 'truth'):.0f} | "
            + " | ".join(f"{share:.3f}" for share in shares)
            + " |"
        )
    worst = [min(_mean(several, key) for several in runs.values()) for key in keys]
    average = [mean(_mean(several, key) for several in runs.values()) for key in keys]
    for title, shares in (("mean", average), ("worst cell", worst)):
        lines.append(f"| {title} | | | " + " | ".join(f"{share:.3f}" for share in shares) + " |")
    return lines


def error_of_coverage(runs: Runs) -> str:
    """Monte Carlo error of a share of .95, by the smallest number of runs of a cell."""
    least = min(len(several) for several in runs.values())
    return (
        f"Monte Carlo error (one standard error) of a share of .95 in {least} runs: {(0.95 * 0.05 / least) ** 0.5:.3f}."
    )


def width_table(runs: Runs) -> list[str]:
    """Width, bias and what was found after 150 reviews, by cell."""
    lines = [
        (
            "| cell | wrong | width: this | uniform | normal theory | mean estimate less the truth, ± standard error "
            "| wrong labels found: this | uniform |"
        ),
        "|---" * 8 + "|",
    ]
    for name, several in runs.items():
        off = [one["estimate"] - one["truth"] for one in several]
        lines.append(
            f"| {name} | {_mean(several, 'truth'):.0f} | {_mean(several, 'width'):.0f} | {_mean(several, 'uniform_width'):.0f} "
            f"| {_mean(several, 'normal_width'):.0f} | {mean(off):+.1f} ± {float(np.std(off)) / len(off) ** 0.5:.1f} "
            f"| {_mean(several, 'found'):.0f} | {_mean(several, 'uniform_found'):.0f} |"
        )
    return lines


def confident_table(runs: Runs, counts: Mapping[str, int]) -> list[str]:
    """The confident joint's count and 100 clean in a row, beside the audit's median estimate."""
    lines = [
        (
            f"| cell | wrong | audit: median estimate (5 % to 95 % of the runs) | confident joint | {IN_A_ROW} clean in a row: reviews "
            "| share found |"
        ),
        "|---" * 6 + "|",
    ]
    for name, several in runs.items():
        low, middle, high = np.percentile([one["estimate"] for one in several], [5, 50, 95])
        lines.append(
            f"| {name} | {_mean(several, 'truth'):.0f} | {middle:.0f} ({low:.0f} to {high:.0f}) | {counts.get(name, '')} "
            f"| {_mean(several, 'row_reviews'):.0f} | {_share_found(several)} |"
        )
    return lines


def _share_found(several: Sequence[Values]) -> str:
    return f"{_mean(several, 'row_recall'):.2f}" if _mean(several, "truth") else ""


def goal_table(runs: Mapping[str, Runs]) -> list[str]:
    """What goals took, by cell."""
    lines = ["| goal | cell | runs | reviews: median | most | who knows the truth | wrong claims |", "|---" * 7 + "|"]
    for goal, cells in runs.items():
        for name, several in cells.items():
            reviews = [one["reviews"] for one in several]
            oracle = _mean(several, "oracle")
            wrong = sum(not one["right"] for one in several)
            lines.append(
                f"| {goal} | {name} | {len(several)} | {median(reviews):.0f} | {max(reviews):.0f} "
                f"| {f'{oracle:.0f}' if oracle else ''} | {wrong} |"
            )
    return lines


def calibration_table(runs: Runs) -> list[str]:
    """Probabilities of being wrong after 150 reviews, and cleanlab's before any, of the samples without a review."""
    lines = [
        "| cell | Brier: before | after | ECE: before | after | wrong among the next 50, mean absolute error: before | after |",
        "|---" * 7 + "|",
    ]
    keys = [f"{what}_{when}" for what in ("brier", "ece", "next") for when in ("before", "after")]
    for name, several in runs.items():
        lines.append(f"| {name} | " + " | ".join(_number(key, _mean(several, key)) for key in keys) + " |")
    average = {key: mean(_mean(several, key) for several in runs.values()) for key in keys}
    return [*lines, "| mean | " + " | ".join(_number(key, average[key]) for key in keys) + " |"]


def _number(key: str, value: float) -> str:
    return f"{value:.1f}" if key.startswith("next") else f"{value:.3f}"


def _mean(several: Sequence[Values], key: str) -> float:
    return mean(one[key] for one in several)


def _goals(cells: Sequence[Cell], runs: int, kept: Path) -> dict[str, Runs]:
    """Runs of each goal. A share of the wrong labels is asked for only where some are wrong."""
    some = [cell for cell in cells if cell.name in GOAL_CELLS]
    found: dict[str, Runs] = {}
    for goal in GOALS:
        chosen = [cell for cell in some if goal.kind != "recall" or cell.ranked(0).wrong.any()]
        found[goal.text] = goal_runs(chosen, goal, runs, kept)
    return found


def proxy_table(runs: Runs) -> list[str]:
    """What a proxy changes."""
    lines = ["| a second judge | runs | holds at all moments | width | wrong labels found |", "|---" * 5 + "|"]
    for name, several in runs.items():
        lines.append(
            f"| {name.removeprefix('proxy, ')} | {len(several)} | {_mean(several, 'always'):.3f} | {_mean(several, 'width'):.0f} "
            f"| {_mean(several, 'found'):.0f} |"
        )
    return lines


def speed() -> str:
    """How long an answer after a review takes on a large job."""
    random = np.random.default_rng(0)
    wrong = np.sort(random.random(_MANY) < 0.05)[::-1]
    played = Played(Ranked(wrong), 0)
    while len(played.rows) < _DRAWS:
        played.review(10)
    log = played.log
    times = []
    for _ in range(9):
        start, worked = time.perf_counter(), time.process_time()
        measure(log, played.answers, 0.95)
        times.append((time.process_time() - worked, time.perf_counter() - start))
    worked, waited = (1000 * median(one) for one in zip(*times, strict=True))
    return (
        f"An answer after {_DRAWS:,} draws from {_MANY:,} samples, {len(log.models)} models: {worked:.0f} ms of computing, {waited:.0f} ms by the "
        f"clock, medians of {len(times)}."
    )


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--real-runs", type=int, default=100)
    parser.add_argument("--goal-runs", type=int, default=10)
    parser.add_argument("--proxy-runs", type=int, default=200)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "truth")
    parser.add_argument("--kept", type=Path, default=Path(tempfile.gettempdir()) / "audits")
    parser.add_argument(
        "--part",
        choices=["made", "real", "goals", "proxies", "service", "time"],
        help="make only these runs; of service and time, write the sections",
    )
    parser.add_argument("--service-runs", type=int, default=40)
    arguments = parser.parse_args()
    if arguments.part in ("service", "time"):
        _write(_served(arguments.service_runs) if arguments.part == "service" else _times())
        return
    real: list[Cell] = []
    if arguments.part in (None, "real", "goals"):
        real = list(real_cells((*TUNED, *REPORTED), KINDS, ROWS, arguments.cache))
    parts: dict[str, Callable[[], Runs | Mapping[str, Runs]]] = {
        "made": lambda: measured_runs(made_cells(), arguments.runs, arguments.kept),
        "real": lambda: measured_runs(real, arguments.real_runs, arguments.kept),
        "proxies": lambda: measured_runs(proxy_cells(), arguments.proxy_runs, arguments.kept),
        "goals": lambda: _goals(real, arguments.goal_runs, arguments.kept),
    }
    if arguments.part:
        parts[arguments.part]()
        return
    made, of_sets = (
        measured_runs(cells, runs, arguments.kept)
        for cells, runs in ((made_cells(), arguments.runs), (real, arguments.real_runs))
    )
    goals = _goals(real, arguments.goal_runs, arguments.kept)
    proxies = measured_runs(proxy_cells(), arguments.proxy_runs, arguments.kept)
    counts = {cell.name: cell.confident or 0 for cell in real}
    sections = {
        "Coverage at 95 %, made rankings": [*coverage_table(made), "", error_of_coverage(made)],
        "Coverage at 95 %, rankings of real jobs": [*coverage_table(of_sets), "", error_of_coverage(of_sets)],
        f"After {REVIEWS} reviews, made rankings": width_table(made),
        f"After {REVIEWS} reviews, rankings of real jobs": width_table(of_sets),
        "Other counts and other rules": confident_table({**made, **of_sets}, counts),
        "Reviews until a goal is reached": goal_table(goals),
        f"Probability of being wrong, after {REVIEWS} reviews": calibration_table(of_sets),
        "A noisy score and a second judge, 2,000 samples, 5 % wrong": proxy_table(proxies),
    }
    _write({**sections, **_served(arguments.service_runs), **_times()})


def _served(runs: int) -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory(prefix="suspects-audits-") as name:
        found = {one: served_runs(one, runs, Path(name) / str(place)) for place, one in enumerate(SETS)}
    return {f"Through the API: coverage at 95 %, {REVIEWS} reviews": served_table(found)}


def _times() -> dict[str, list[str]]:
    with tempfile.TemporaryDirectory(prefix="suspects-audits-") as name:
        return {"Time": [speed(), "", answer_times(_MANY, Path(name) / "home")]}


def _write(sections: Mapping[str, Sequence[str]]) -> None:
    print(write_sections(RESULTS / "audit.md", TITLE, sections))


if __name__ == "__main__":
    main()
