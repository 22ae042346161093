"""What the confidence is worth that a job shows once an audit has told how likely labels are wrong.

    python -m benchmarks.after_reviews [--rows 2000] [--audits 3] [--cache FOLDER]

The jobs are those of benchmarks.audit (benchmarks.truth_runs, seed 0), of both halves. A reviewer who knows every label answers 150
draws; flagged is then what is more likely wrong than not and was not reviewed. The ranking stays that of the job: that verified samples
serve as reference, which scoring again does too, is left out. Writes a section of results/audit.md.
"""

import argparse
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch

from benchmarks.audit import KINDS, RESULTS, TITLE
from benchmarks.audit_runs import BATCH, REVIEWS, Played, Ranked
from benchmarks.result_sections import write_sections
from benchmarks.truth import MANY, REPORTED, ROWS, TUNED, calibration_error, modality_of
from benchmarks.truth_runs import NONE, KnownRun, known_runs
from service.audit.measure import Answer
from service.store.answers import probability_by_rank
from worker.job.ranking import judge

_Columns = list[list[np.ndarray[tuple[int], np.dtype[np.float64]]]]


def told_after(run: KnownRun, seed: int) -> _Columns:
    """Of what is flagged and was not reviewed: that labels are wrong, shown and is; that suggestions are right, shown and is."""
    scores = run.signals["mislabeled"].double().numpy()
    order = np.argsort(-scores, kind="stable")
    played = Played(Ranked(run.wrong.numpy()[order]), seed)
    for _ in range(REVIEWS // BATCH):
        played.review(BATCH)
    answers = np.empty_like(played.answers)
    answers[order] = played.answers
    probability = torch.from_numpy(probability_by_rank(order, answers)).float()
    generator = torch.Generator().manual_seed(run.seed)
    judged = judge(run.measurements, ["mislabeled", "anomalous"], generator, recalibrate=lambda _: probability)
    shown = judged.verdicts.mislabeled & torch.from_numpy(answers == Answer.NONE)
    right = (judged.suggested == run.right) & run.wrong
    columns = (judged.wrong, run.wrong, judged.confidence, right)
    return [[column[shown].double().numpy()] for column in columns]


def table(runs: Iterable[KnownRun], audits: int) -> Iterator[str]:
    """The table, by kind of data."""
    parts: dict[str, _Columns] = defaultdict(lambda: [[] for _ in range(4)])
    for run in runs:
        for seed in range(audits):
            found = told_after(run, seed)
            if len(found[0][0]) >= MANY:
                for known, new in zip(parts[modality_of(run.name)], found, strict=True):
                    known.extend(new)
    heads = [f"{what}: shown, is, error, error of one audit" for what in ("label is wrong", "suggestion is right")]
    yield "| data | audits | flagged | " + " | ".join(heads) + " |"
    yield "|---" * 5 + "|"
    for modality, columns in parts.items():
        joined = [np.concatenate(column) for column in columns]
        cells = [str(len(columns[0])), f"{len(joined[0]):,}"]
        for shown, true in ((0, 1), (2, 3)):
            error = calibration_error(joined[shown], joined[true])
            alone = np.mean([calibration_error(*one) for one in zip(columns[shown], columns[true], strict=True)])
            cells.append(f"{joined[shown].mean():.2f}, {joined[true].mean():.2f}, {error:.3f}, {alone:.3f}")
        yield f"| {modality} | " + " | ".join(cells) + " |"


def main() -> None:
    """Play, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--audits", type=int, default=3)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()) / "truth")
    arguments = parser.parse_args()
    runs = known_runs((*TUNED, *REPORTED), (NONE, *KINDS), arguments.rows, (0,), 0, arguments.cache)
    section = {f"Confidence of what is flagged after {REVIEWS} reviews": list(table(runs, arguments.audits))}
    print(write_sections(RESULTS / "audit.md", TITLE, section))


if __name__ == "__main__":
    main()
