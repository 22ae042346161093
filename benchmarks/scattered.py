"""Anomalies without a reference: `anomalous`, its parts, and detectors of scikit-learn on the same features and on the inputs.

    python -m benchmarks.scattered [--half reported|tuned] [--rows 2000] [--seeds 1] [--cache FOLDER] [--sets NAME ...]

Runs are those of benchmarks.scattered_runs: 2 and 5 % of anomalies. Features are those that the job records of the first
checkpoint (32 principal directions of the input of the layer before the last). The parts of `anomalous` and how they are put
together were chosen on the `tuned` half of the sets. `crosswise` compares each half of the samples with the other half as if
that were a reference. Writes results/scattered-HALF.md.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from sklearn.ensemble import IsolationForest
from sklearn.feature_extraction.text import TfidfTransformer
from sklearn.neighbors import LocalOutlierFactor, NearestNeighbors
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from benchmarks.scattered_runs import NEAR, NONE, StrangeRun, strange_runs
from worker.signals.anomaly import strangeness
from worker.signals.verdicts import decide

RESULTS = Path(__file__).parent / "results"
TUNED = (*("annthyroid", "pageblocks", "satimage", "spambase", "covtype10k"), "trec_minilm", "mnist")
REPORTED = (
    *("optdigits", "satellite", "shuttle", "letter", "bank", "magic", "phoneme"),
    *("yoruba_minilm", "fmnist", "yoruba"),
)
ROWS, RATES = 2_000, (0.02, 0.05)
OURS = ("anomalous", "label_distance", "mahalanobis", "isolation", "label_split")
CROSSWISE = "crosswise"
_NEAREST, _LOCAL = 10, 20
_HALVES = 7_919  # seed

Found = dict[str, float]
Array = np.ndarray[tuple[int, ...], np.dtype[np.float64]]


def detectors(rows: Array, name: str) -> dict[str, Array]:
    """Scores of scikit-learn's detectors, higher = more suspicious, by name and by what they read."""
    near = NearestNeighbors(n_neighbors=_NEAREST + 1).fit(rows).kneighbors(rows)[0][:, -1]
    local = LocalOutlierFactor(n_neighbors=_LOCAL)
    local.fit(rows)
    forest = IsolationForest(random_state=0).fit(rows)
    return {
        f"IsolationForest, {name}": -forest.score_samples(rows),
        f"distance to the {_NEAREST}th neighbour, {name}": near,
        f"local outlier factor, {name}": -local.negative_outlier_factor_,
    }


def crosswise(run: StrangeRun) -> Tensor:
    """The largest of remoteness, crowding and divergence of each sample, by the half of the samples that it is not in."""
    features = run.measurements.position.features
    # Another seed than that of the glitches: the same one would put all that they touch into one half.
    order = torch.randperm(len(features), generator=torch.Generator().manual_seed(_HALVES + run.seed))
    result = torch.empty(len(features))
    one, other = order[: len(order) // 2], order[len(order) // 2 :]
    for rows, known in ((one, other), (other, one)):
        found = strangeness(features[rows], features[known], torch.Generator().manual_seed(run.seed))
        result[rows] = found.train.amax(0)
    return result


def scored(run: StrangeRun) -> dict[str, Found]:
    """Average precision and F1 of each detector in one run."""
    scores: dict[str, Array | Tensor] = {name: run.signals[name] for name in OURS}
    scores[CROSSWISE] = crosswise(run)
    inputs = run.inputs.astype(np.float64)
    if run.modality == "text":
        inputs = TfidfTransformer().fit_transform(inputs).toarray()
    elif run.modality != "image":
        inputs = StandardScaler().fit_transform(inputs)
    scores |= detectors(run.measurements.position.features.double().numpy(), "features")
    scores |= detectors(inputs, "inputs")
    return {name: run.found(one) for name, one in scores.items()}


def tables(runs: Iterable[StrangeRun]) -> list[str]:
    """Means by kind and by set, and what is flagged."""
    cells: dict[tuple[str, str], list[dict[str, Found]]] = defaultdict(list)
    flagged: list[tuple[str, str, int]] = []
    for run in runs:
        generator = torch.Generator().manual_seed(run.seed)
        verdicts = decide(run.measurements, run.signals["mislabeled"], run.signals["anomalous"], generator)
        doubt = verdicts.anomalous_estimate.doubt
        flagged.append((run.kind, "none" if doubt is None else doubt.cause, int(verdicts.anomalous.sum())))
        if run.kind != NONE:
            cells[run.name, run.kind].append(scored(run))
    names = list(next(iter(cells.values()))[0])
    kinds = list(dict.fromkeys(kind for _, kind in cells))
    lines = ["Average precision / F1 at the true number, means over sets and rates:", ""]
    lines += _rows(
        names, kinds, lambda kind: [one for (_, k), several in cells.items() if k == kind for one in several]
    )
    scattered = [one for (_, kind), several in cells.items() if kind not in NEAR for one in several]
    lines += ["", f"All scattered kinds, {len(scattered)} runs:", ""]
    lines += _rows(names, ["scattered"], lambda _kind: scattered)
    lines += ["", "By set, scattered kinds:", ""]
    sets = list(dict.fromkeys(name for name, _ in cells))
    lines += _rows(
        names,
        sets,
        lambda name: [one for (n, k), several in cells.items() if n == name and k not in NEAR for one in several],
    )
    causes = sorted({cause for _, cause, _ in flagged})
    total = sum(count for _, _, count in flagged)
    return [*lines, "", f"Flagged as anomalous: {total} samples in {len(flagged)} jobs; doubts: {', '.join(causes)}."]


def _rows(names: Sequence[str], columns: Sequence[str], of: Callable[[str], list[dict[str, Found]]]) -> list[str]:
    lines = ["| detector | " + " | ".join(columns) + " |", "|---" * (1 + len(columns)) + "|"]
    for name in names:
        parts = [[one[name] for one in of(column)] for column in columns]
        shown = (
            f"{mean(one['average_precision'] for one in part):.2f} / {mean(one['f1'] for one in part):.2f}"
            if part
            else ""
            for part in parts
        )
        lines.append(f"| {name} | " + " | ".join(shown) + " |")
    return lines


def main() -> None:
    """Run and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--half", choices=["reported", "tuned"], default="reported")
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "scattered")
    parser.add_argument("--sets", nargs="+", help="only these of the half")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    names = arguments.sets or (REPORTED if arguments.half == "reported" else TUNED)
    runs = strange_runs(names, RATES, arguments.rows, range(arguments.seeds), arguments.cache)
    title = (
        f"# Anomalies without a reference: the {arguments.half} half, {arguments.rows} rows, {arguments.seeds} seeds"
    )
    lines = [title, "", f"Sets: {', '.join(names)}.", "", *tables(runs)]
    (RESULTS / f"scattered-{arguments.half}.md").write_text("\n".join(lines) + "\n")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
