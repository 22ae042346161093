"""Two other detectors beside `mislabeled`, on the kept jobs of benchmarks.truth: one that learns from its own plants, and a relation graph.

    python -m benchmarks.plants [--half reported|tuned] [--rows 2000] [--seeds 2] [--cache FOLDER] [--sets NAME ...]

The first plants errors in a tenth of the labels, on a copy, in halves: the likeliest other class by the held-out prediction, and any
other class. A boosting of scikit-learn learns to tell them by what has not seen a sample's own label, and gives each sample the
probability of an error: their sum is its count. The second is the neural relation graph (Kim et al. 2023, arXiv:2301.12321): a sample
is suspicious where similar ones, in features and in predictions, mostly have other labels than its own. Prints a table; results/plants.md keeps both halves.
"""

from collections import defaultdict
from statistics import mean

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.truth import asked_runs, decided
from benchmarks.truth_runs import KINDS, NONE, KnownRun, known_runs
from worker.signals.confusions import held_out_prediction
from worker.signals.margin import margin
from worker.signals.measurements import Measurements

_PLANTED, _ROUNDS, _SHARPNESS = 0.1, 5, 4.0


def by_plants(run: KnownRun) -> Tensor:
    """The probability of an error at each sample, by plants in a copy of its labels; each sample's by a fit on other samples."""
    m = run.measurements
    draws = np.random.default_rng(run.seed)
    held_out = _held_out(m)
    planted, labels = draws.random(len(m.labels)) < _PLANTED, m.labels.clone()
    alike = held_out.scatter(1, m.labels[:, None], -torch.inf).argmax(1)
    other = (m.labels + torch.from_numpy(draws.integers(1, held_out.shape[1], len(labels)))) % held_out.shape[1]
    chosen = torch.where(torch.from_numpy(draws.random(len(labels)) < 1 / 2), alike, other)
    labels[planted] = chosen[planted]
    model = HistGradientBoostingClassifier(max_iter=100, max_leaf_nodes=8, l2_regularization=1.0, random_state=run.seed)
    # Probabilities at the labels as they are, by models that learnt from the planted copy of the other samples.
    found = torch.zeros(len(labels), dtype=torch.float64)
    learnt, asked = _features(m, held_out, labels), _features(m, held_out, m.labels)
    folds = torch.from_numpy(draws.integers(0, 5, len(labels)))
    for fold in range(5):
        inside = (folds != fold).numpy()
        model.fit(learnt[inside], planted[inside])
        found[torch.from_numpy(~inside)] = torch.from_numpy(model.predict_proba(asked[~inside])[:, 1])
    return found


def _held_out(m: Measurements) -> Tensor:
    return held_out_prediction(m.position.guess, m.votes.first, m.votes.mean, m.embedding_votes, m.labels, m.by_trees)


def _features(m: Measurements, held_out: Tensor, labels: Tensor) -> "np.ndarray[tuple[int, int], np.dtype[np.float64]]":
    guesses = [held_out, m.position.guess, m.votes.first, m.votes.mean]
    if m.embedding_votes is not None:
        guesses.append(m.embedding_votes)
    columns = [margin(guess, labels) for guess in guesses]
    columns += [guess.topk(2, dim=1).values.diff(dim=1).squeeze(1) for guess in guesses[:2]]
    columns += [held_out.gather(1, labels[:, None]).squeeze(1), -(held_out * held_out.clamp(min=1e-9).log()).sum(1)]
    return torch.stack([column.double() for column in columns], 1).numpy()


def by_relations(run: KnownRun) -> Tensor:
    """The score of the relation graph of the features and the last checkpoint's probabilities; higher = more suspicious."""
    m = run.measurements
    features = normalize(m.position.features.float(), dim=1)
    probabilities = normalize(torch.softmax(run.logits[-1].float(), 1), dim=1)
    kernel = ((features @ features.T).clamp(min=0) * (probabilities @ probabilities.T)) ** _SHARPNESS
    kernel.fill_diagonal_(0)
    relation = torch.where(m.labels[:, None] == m.labels[None], kernel, -kernel)
    score = -relation.sum(1)
    for _ in range(_ROUNDS):  # of suspects whose relations count the other way
        score = -relation @ torch.where(score > 0, -1.0, 1.0)
    return score


def main() -> None:
    """Run and print."""
    arguments, names = asked_runs(__doc__)
    cells: dict[str, list[tuple[float, ...]]] = defaultdict(list)
    for run in known_runs(names, (NONE, *KINDS), arguments.rows, range(arguments.seeds), 0, arguments.cache):
        cells[run.kind].append(judged(run))
    print(
        "| errors | jobs | AP / F1: `mislabeled` | plants | relations | error of the count, share: ours, told or not | plants |"
    )
    print("|---" * 7 + "|")
    for name, several in cells.items():
        print(
            f"| {name} | {len(several)} | "
            + " | ".join(_cells([mean(column) for column in zip(*several, strict=True)]))
            + " |"
        )


def judged(run: KnownRun) -> tuple[float, ...]:
    """AP and F1 of the three, and the error of both counts as shares of the samples."""
    plants, wrong = by_plants(run), int(run.wrong.sum())
    found = [0.0] * 6
    if wrong:
        scores = (run.signals["mislabeled"], plants, by_relations(run))
        found = [run.found(score)[key] for score in scores for key in ("average_precision", "f1")]
    samples = len(run.labels)
    ours = decided(run).mislabeled_estimate.count
    return (*found, abs(ours - wrong) / samples, abs(float(plants.sum()) - wrong) / samples)


def _cells(means: list[float]) -> list[str]:
    pairs = [f"{means[place]:.3f} / {means[place + 1]:.3f}" for place in (0, 2, 4)]
    return [*pairs, *(f"{value:.3f}" for value in means[6:])]


if __name__ == "__main__":
    main()
