"""Whether a planted near cluster is one of the two parts of its label that `GET /jobs/{id}/groups` shows.

    python -m benchmarks.near_clusters [--seeds 2] [--rows 3000] [--sets NAME ...]

Each job has no reference and a cluster at the edge of the data under one label, of 2 or 10 % of the rows; models and sets as in
benchmarks.paper, the reported half. A part is the cluster when its F1 against it is at least .8. Writes results/near_clusters.md.
"""

import argparse
import statistics
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Int
from torch import Tensor

from benchmarks.data import load
from benchmarks.runs import fixed, run
from service.domain.specs import Glitch, JobOptions, TrainingRequest
from worker.signals.groups import LabelGroup, Lean
from worker.signals.measurements import Measurements

RESULTS = Path(__file__).parent / "results"
REPORTED = ("bank", "letter", "magic", "phoneme", "wine_quality", "fmnist", "trec_minilm", "cifar_lite0")
_KIND, _RATES, _SAME = "anomalous_near_clustered", (0.02, 0.1), 0.8


@dataclass(frozen=True)
class Found:
    """Of one job: F1 of both parts against the planted cluster, their leans, and the place of the label in the list."""

    name: str
    rate: float
    label_samples: int
    planted: int
    place: int
    tighter: float
    rest: float
    leans: tuple[float, float]

    @property
    def shown(self) -> bool:
        """Whether one of both parts is the cluster."""
        return max(self.tighter, self.rest) >= _SAME

    @property
    def leaning_more(self) -> bool:
        """Whether the part that is more like the cluster leans more strongly to another label."""
        return (self.tighter > self.rest) == (self.leans[0] > self.leans[1])


def measure(name: str, rate: float, seed: int, rows: int) -> Found:
    """One job with a planted cluster."""
    info, dataset = load(name, rows, seed)
    glitch = Glitch.model_validate({"kind": _KIND, "rate": rate, "seed": seed})
    done = run(info, dataset, JobOptions(model=fixed(info), glitches=[glitch], training=TrainingRequest(seed=seed)))
    planted, labels = done.prepared.planted.touched, done.prepared.planted.labels
    label = int(labels[planted][0])
    measured = done.scored.measurements
    groups = measured.position.groups if isinstance(measured, Measurements) else ()
    place, group = next((place, group) for place, group in enumerate(groups) if group.label == label)
    return Found(
        name,
        rate,
        int((labels == label).sum()),
        int(planted.sum()),
        place,
        _f1(group.members, planted),
        _f1(group.rest, planted),
        _shares(group),
    )


def _f1(part: Int[Tensor, " k"], planted: Tensor) -> float:
    return float(2 * planted[part].sum() / (len(part) + planted.sum()))


def _shares(group: LabelGroup) -> tuple[float, float]:
    def share(lean: Lean | None) -> float:
        return 0.0 if lean is None else lean.share

    return share(group.lean), share(group.rest_lean)


def table(found: list[Found]) -> list[str]:
    """The report."""
    lines = [
        "| cluster | jobs | the tighter part is it | one of both parts is it | label in the first three | it leans more than the other part |",
        "|---" * 6 + "|",
    ]
    for rate in _RATES:
        there = [one for one in found if one.rate == rate]
        shown = [one for one in there if one.shown]
        cells = (
            statistics.mean(one.tighter >= _SAME for one in there),
            statistics.mean(one.shown for one in there),
            statistics.mean(one.place < 3 for one in there),
            statistics.mean(one.leaning_more for one in shown) if shown else 0.0,
        )
        lines.append(f"| {rate:.0%} | {len(there)} | " + " | ".join(f"{cell:.0%}" for cell in cells) + " |")
    lines += ["", "| set | cluster | planted of label | place | F1 tighter, rest | leans |", "|---" * 6 + "|"]
    lines += [
        f"| {one.name} | {one.rate:.0%} | {one.planted} of {one.label_samples} | {one.place + 1} | {one.tighter:.2f}, {one.rest:.2f} "
        f"| {one.leans[0]:.2f}, {one.leans[1]:.2f} |"
        for one in found
    ]
    return lines


def main() -> None:
    """Run every job and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rows", type=int, default=3_000)
    parser.add_argument("--sets", nargs="*", default=REPORTED)
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    found = []
    for name in chosen.sets:
        for rate in _RATES:
            found += [measure(name, rate, seed, chosen.rows) for seed in range(chosen.seeds)]
            print(found[-1], flush=True)
    heading = f"# Near clusters among the groups\n\nUp to {chosen.rows:,} rows, {chosen.seeds} seeds; a part is the cluster at F1 ≥ {_SAME}.\n"
    (RESULTS / "near_clusters.md").write_text("\n".join([heading, *table(found), ""]))


if __name__ == "__main__":
    main()
