"""What reviews make of the ranking of anomalies: rescoring a job by verified samples, beside a new job with the same reference.

    python -m benchmarks.rescore [--seeds 2] [--rows 2000] [--count 50] [SET ...]

Anomalies are in the data (benchmarks.scattered_runs). A reviewer who knows every label verifies the samples that the job proposes,
or the top of its ranking by `mislabeled`; anomalies are removed, not verified. F1 of `anomalous` at the number of anomalies, among
the samples that nobody verified, by the first ranking, the rescored one, and the new job, which trains without the verified ones.
"""

import argparse
import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks.rescore_scale import TITLE
from benchmarks.result_sections import write_sections
from benchmarks.runs import fixed, run, searched
from benchmarks.scattered_runs import NOVEL, REAL, REALS, STRANGER, mixed
from service.domain.resolve import resolve
from service.domain.specs import JobOptions, Reference, TrainingRequest
from worker.job.measuring import Scored
from worker.job.preparation import PreparedJob, fit, prepare
from worker.job.ranking import rank
from worker.job.scoring import score
from worker.job.verified import VerifiedLabels, with_verified
from worker.signals.formulas import compute
from worker.signals.summaries import detection
from worker.training.loop import EpochMetrics, TrainingState, checkpoints, learning_rate

RESULTS = Path(__file__).parent / "results"
SETS = ("satimage", "letter", "covtype10k", *REALS)
RATE = 0.05


@dataclass(frozen=True)
class Row:
    """F1 of one set and seed with one choice of verified samples, and seconds."""

    name: str
    chosen: str
    verified: int
    first: float
    rescored: float
    new: float
    training_s: float
    scoring_s: float
    rescoring_s: float


def rows_of(name: str, seed: int, rows: int, count: int) -> list[Row]:
    """One job, rescored twice, and a new job for each."""
    kind = REAL if name in REALS else NOVEL if name in ("satimage", "letter", "covtype10k") else STRANGER
    info, dataset, added = mixed(name, kind, round(RATE * rows), rows, seed)
    strange = torch.from_numpy(added)[dataset.index]
    options = JobOptions(model=fixed(info), training=TrainingRequest(seed=seed))
    spec = resolve(options, info)
    prepared = prepare(spec, dataset, None)
    spec, _ = searched(prepared, spec)
    found = []
    with tempfile.TemporaryDirectory() as named:
        folder = Path(named)

        def keep(state: TrainingState, _metrics: EpochMetrics) -> None:
            state.save(folder / f"{state.epoch}.pt")

        began = time.perf_counter()
        epochs = checkpoints(spec.training, fit(prepared, spec, None, keep))
        rates = [learning_rate(spec.training, epoch) for epoch in epochs]
        trained = time.perf_counter()

        def scored_by(one: PreparedJob) -> Scored:
            return score(
                one,
                spec,
                rates,
                lambda t: TrainingState.load(folder / f"{epochs[t]}.pt").model,
                folder / "scratch",
                lambda _share: None,
            )

        first = scored_by(prepared)
        done = time.perf_counter()
        outcome = rank(prepared, spec, first, dataset)
        before = compute(first.measurements, ["mislabeled", "anomalous"])
        proposed = torch.tensor(outcome.summaries["proposals"]["positions"])
        top = prepared.rows[before["mislabeled"].argsort(descending=True)]
        random = prepared.rows[torch.randperm(len(prepared.rows), generator=torch.Generator().manual_seed(seed))]
        for chosen, order in (("proposed", proposed), ("random", random), ("top of the ranking", top)):
            right = order[~strange[order]][:count].sort().values
            verified = VerifiedLabels(right, dataset.labels[right])
            again = time.perf_counter()
            rescored = compute(
                scored_by(with_verified(prepare(spec, dataset, None), spec, verified)).measurements, ["anomalous"]
            )
            ended = time.perf_counter()
            reference = Reference(samples=[dataset.ids[row] for row in right.tolist()], trusted=True)
            other = run(info, dataset, options.model_copy(update={"reference": reference}))
            new = compute(other.scored.measurements, ["anomalous"])["anomalous"]
            others = ~torch.isin(prepared.rows, right)
            found.append(
                Row(
                    name,
                    chosen,
                    len(right),
                    _f1(before["anomalous"][others], strange[prepared.rows][others]),
                    _f1(rescored["anomalous"][others], strange[prepared.rows][others]),
                    _f1(new, strange[other.prepared.rows]),
                    trained - began,
                    done - trained,
                    ended - again,
                )
            )
            print(found[-1], flush=True)
    return found


def _f1(scores: Tensor, strange: Tensor) -> float:
    return float(detection(np.asarray(scores, np.float64), strange.numpy())["f1"])


def main() -> None:
    """Run and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", nargs="*", default=SETS)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=2_000)
    parser.add_argument("--count", type=int, default=50)
    arguments = parser.parse_args()
    found = [
        row
        for name in arguments.sets
        for seed in range(arguments.seeds)
        for row in rows_of(name, seed, arguments.rows, arguments.count)
    ]
    lines = [
        f"{arguments.count} verified samples; {', '.join(arguments.sets)}; {arguments.rows} rows, {RATE:.0%} anomalies, {arguments.seeds} seeds. `python -m benchmarks.rescore`",
        "",
        "| verified | set | first ranking | rescored | new job | rescored less new | rescoring over training and scoring, time |",
        "|---" * 7 + "|",
    ]
    for chosen in dict.fromkeys(row.chosen for row in found):
        for name in (*arguments.sets, "all"):
            some = [row for row in found if row.chosen == chosen and name in (row.name, "all")]
            means = [statistics.mean(getattr(row, part) for row in some) for part in ("first", "rescored", "new")]
            ratio = statistics.mean(row.rescoring_s / (row.training_s + row.scoring_s) for row in some)
            cells = " | ".join(f"{mean:.3f}" for mean in means)
            lines.append(f"| {chosen} | {name} | {cells} | {means[1] - means[2]:+.3f} | {ratio:.2f} |")
    heading = "F1 of `anomalous` at the number of anomalies"
    print(write_sections(RESULTS / "rescore.md", TITLE, {heading: lines}))


if __name__ == "__main__":
    main()
