"""How well planted mislabels are found: `mislabeled` against self-influence, AUM and 5-fold cleanlab, same model.

    python -m benchmarks.detection [--seeds 3] [--rate 0.1] [DATASET ...]

cleanlab's scores are its self-confidence on out-of-fold probabilities of the same model, trained five times. F1 is at
the planted count, where precision and recall are equal.
"""

import argparse
import statistics
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.cleanlab_peer import cleanlab_doubt
from benchmarks.data import IMAGES, load
from benchmarks.runs import out_of_fold_probabilities, run
from service.domain.specs import Glitch, JobOptions, TrainingRequest
from worker.signals.summaries import detection

RESULTS = Path(__file__).parent / "results"
COLUMNS = ("mislabeled", "si", "aum", "gd_class", "mi", "cleanlab")


def compare(name: str, rate: float, seed: int) -> dict[str, dict[str, float]]:
    """Detection by signal and by cleanlab, of one planting and one training seed."""
    info, dataset = load(name, 4_000 if name in IMAGES else None)
    options = JobOptions(
        glitches=[Glitch(kind="mislabeled_uniform", rate=rate, seed=seed)],
        training=TrainingRequest(seed=seed),
    )
    done = run(info, dataset, options)
    found = {
        signal: summary["detection"] for signal, summary in done.outcome.summaries.items() if "detection" in summary
    }
    probabilities = out_of_fold_probabilities(done.prepared, done.spec, dataset, 5, seed)
    doubt = cleanlab_doubt(probabilities, done.prepared.planted.labels)
    found["cleanlab"] = detection(doubt.numpy(), done.prepared.planted.touched.numpy())
    count = done.outcome.result["estimates"]["mislabeled"]
    planted = int(done.prepared.planted.touched.sum())
    print(f"{name} seed {seed}: planted {planted}, estimated {count}, accuracy {done.outcome.result['model']}")
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("datasets", nargs="*", default=["adult", "satimage", "mnist"])
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--rate", type=float, default=0.1)
    arguments = parser.parse_args()
    title = f"{arguments.rate:.0%} uniform mislabels, F1 / average precision, mean of {arguments.seeds} seeds"
    table = Table("dataset", *COLUMNS, title=title)
    lines = [f"# {title}", "", "| dataset | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 1) + "|"]
    for name in arguments.datasets:
        runs = [compare(name, arguments.rate, seed) for seed in range(arguments.seeds)]
        cells = [
            " / ".join(f"{statistics.mean(r[c][m] for r in runs):.3f}" for m in ("f1", "average_precision"))
            for c in COLUMNS
        ]
        table.add_row(name, *cells)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    Console(width=140).print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "detection.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
