"""How many checkpoints `aum_early` and `late_influence` should average over, measured on planted wrong labels.

    python -m benchmarks.early [--seeds 2] [DATASET ...]

Ten percent of the labels are wrong. One training of 30 epochs serves all rules and all numbers T of checkpoints, so that
they differ in nothing else. The numbers are average precision, means over datasets and seeds. The rules in use are those
that find most: `aum_early` published t <= max(2, T/3) before and `late_influence` took floor(T/3) checkpoints.
"""

import argparse
import statistics
from collections.abc import Callable
from itertools import product
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.data import load
from benchmarks.runs import Run, fixed, run
from service.domain.specs import Glitch, JobOptions, TrainingRequest
from worker.signals.dynamics import early_checkpoints, late_checkpoints
from worker.signals.formulas import compute
from worker.signals.measurements import Measurements
from worker.signals.ranks import rank
from worker.signals.summaries import detection
from worker.training.loop import checkpoints

RESULTS = Path(__file__).parent / "results"
DATASETS = ("adult", "satimage", "letter", "fmnist", "trec")
KINDS = ("mislabeled_uniform", "mislabeled_pair")
ROWS, RATE, EPOCHS = 2_000, 0.1, 30
NUMBERS = (5, 8, EPOCHS)

Rule = Callable[[int], int]
EARLY: dict[str, Rule] = {
    "t <= T/2, 2 to 5 of them (in use)": early_checkpoints,
    "t <= max(2, T/3)": lambda count: max(2, count // 3),
    "t <= max(2, T/2)": lambda count: max(2, count // 2),
}
LATE: dict[str, Rule] = {
    "the last floor(T/3)": lambda count: max(1, count // 3),
    "t > 2T/3 (in use)": late_checkpoints,
}

Found = dict[tuple[str, str], float]


def measured(name: str, kind: str, seed: int) -> dict[int, Found]:
    """Average precision of one training by number of checkpoints, signal and rule."""
    info, dataset = load(name, ROWS, seed)
    options = JobOptions(
        model=fixed(info),
        glitches=[Glitch.model_validate({"kind": kind, "rate": RATE, "seed": seed})],
        training=TrainingRequest(seed=seed, epochs=EPOCHS, checkpoints="all"),
    )
    done = run(info, dataset, options)
    found = {count: precisions(done, count) for count in NUMBERS}
    print(
        name, kind, seed, {k: {"/".join(c): round(ap, 3) for c, ap in v.items()} for k, v in found.items()}, flush=True
    )
    return found


def precisions(done: Run, count: int) -> Found:
    """The same, had that many checkpoints been kept."""
    m = done.scored.measurements
    assert isinstance(m, Measurements)
    kept = [epoch - 1 for epoch in checkpoints(done.spec.training.model_copy(update={"checkpoints": count}))]
    margin, loss, influence = m.dynamics.margin[kept], m.dynamics.loss[kept], m.influence.self_influence[kept].double()
    votes = compute(m, ["knn_vote"])["knn_vote"]
    scores: dict[tuple[str, str], Tensor] = {}
    for name, rule in EARLY.items():
        early = -margin[: rule(count)].mean(0)
        scores["aum_early", name] = early
        scores["mislabeled", name] = torch.stack([rank(part) for part in (early, loss.mean(0), votes)]).mean(0)
    for name, rule in LATE.items():
        scores["late_influence", name] = influence[-rule(count) :].sum(0) / influence.sum(0)
    planted = done.prepared.planted.touched.numpy()
    return {cell: float(detection(s.numpy(), planted)["average_precision"]) for cell, s in scores.items()}


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=DATASETS)
    parser.add_argument("--seeds", type=int, default=2)
    arguments = parser.parse_args()
    runs = {
        kind: [measured(name, kind, seed) for name, seed in product(arguments.datasets, range(arguments.seeds))]
        for kind in KINDS
    }
    columns = [(kind, count) for kind in KINDS for count in NUMBERS]
    about = f"{', '.join(arguments.datasets)}; up to {ROWS} rows, {EPOCHS} epochs, {arguments.seeds} seeds."
    heads = [f"{kind.removeprefix('mislabeled_')}, T = {count}" for kind, count in columns]
    lines = [
        f"# How many checkpoints are early and late: average precision, {RATE:.0%} of the labels wrong",
        "",
        f"{about} `python -m benchmarks.early`",
        "",
        f"| signal | checkpoints it takes | {' | '.join(heads)} |",
        "|---" * (2 + len(columns)) + "|",
    ]
    for cell in runs[KINDS[0]][0][NUMBERS[0]]:
        means = [statistics.mean(one[count][cell] for one in runs[kind]) for kind, count in columns]
        lines.append(f"| `{cell[0]}` | {cell[1]} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "early.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
