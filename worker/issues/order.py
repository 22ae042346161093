"""Whether the order of the upload says something about the samples: sorted by label, or data that changed over time.

Three measures, each 0 on average where samples were shuffled. Of labels: how seldom neighbours differ, 1 - changes / expected changes
(the runs test for several categories, Mood 1940), and Cramer's V of label and twentieth of the upload, corrected for its bias (Bergsma
2013). Of features: the correlation ratio of each principal feature and twentieth, corrected likewise (Kelley 1935).
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.issues.data_issue import DataIssue, NotChecked

_FEWEST = 100  # samples
_PARTS, _OF_PART = 20, 50  # parts of the upload at most, and samples of each at least
_OF_CELL = 5  # samples of a class that a part has on average; classes with fewer are one
_SURE = 1e-4  # probability that shuffled samples look like it, by any measure
_LEAST = 0.1  # score


@dataclass(frozen=True)
class _Measured:
    score: float
    probability: float
    words: str


def order(
    labels: Int[Tensor, " n"], classes: int, features: Float[Tensor, "n w"] | None, *, by_name: bool = False
) -> DataIssue | NotChecked:
    """Compare labels and features with their places; samples come in the order of the upload.

    Score: the largest of the measures, 0 to 1, and 0 where chance gives such a value more often than once in 10,000 shuffled uploads.
    Nothing is flagged: no sample alone is out of order. `by_name`: files came in the order of their names, which says nothing.
    """
    if by_name:
        return NotChecked("order", "The files of an archive come in the order of their names.")
    if len(labels) < _FEWEST:
        return NotChecked("order", f"There are fewer than {_FEWEST} samples.")
    parts = max(2, min(_PARTS, len(labels) // _OF_PART))
    part = torch.arange(len(labels)) * parts // len(labels)
    measured = [_neighbours(labels, classes), _shares(labels, classes, part, parts)]
    if features is not None and features.shape[1]:
        measured.append(_drift(features, part, parts))
    sure = [one for one in measured if one.probability * len(measured) < _SURE and one.score >= _LEAST]
    if not sure:
        return DataIssue("order", 0.0, 0, "Samples come as if they had been shuffled.", found=False)
    strongest = max(sure, key=lambda one: one.score)
    detail = f"{strongest.words} Shuffle before you split by position; ask whether the data changed while they were collected."
    return DataIssue("order", min(strongest.score, 1.0), 0, detail, found=True)


def _neighbours(labels: Int[Tensor, " n"], classes: int) -> _Measured:
    n = len(labels)
    sizes = labels.bincount(minlength=classes).double()
    squares, cubes = float(sizes.square().sum()), float(sizes.pow(3).sum())
    changes = int((labels[1:] != labels[:-1]).sum())
    expected = (n * n - squares) / n
    variance = (squares * (squares + n * (n + 1)) - 2 * n * cubes - n**3) / (n * n * (n - 1))
    if expected <= 0 or variance <= 0:
        return _Measured(0.0, 1.0, "")
    away = (expected - changes) / variance**0.5
    probability = float(torch.special.ndtr(torch.tensor(-away, dtype=torch.float64)))
    alike, by_chance = 1 - changes / (n - 1), max(0.0, 1 - expected / (n - 1))
    words = f"{alike:.0%} of the samples have the label of the one before them in the upload, {by_chance:.0%} would by chance."
    return _Measured(max(0.0, 1 - changes / expected), probability, words)


def _shares(labels: Int[Tensor, " n"], classes: int, part: Int[Tensor, " n"], parts: int) -> _Measured:
    n, sizes = len(labels), labels.bincount(minlength=classes)
    common = sizes >= _OF_CELL * parts
    kinds = int(common.sum())
    if kinds == 0:
        return _Measured(0.0, 1.0, "")
    number = torch.where(common, common.cumsum(0) - 1, kinds)  # classes with few samples are one
    cell = part * (kinds + 1) + number[labels]
    counts = cell.bincount(minlength=parts * (kinds + 1)).view(parts, -1).double()
    counts = counts[:, counts.sum(0) > 0]
    columns = counts.shape[1]
    if columns < 2:
        return _Measured(0.0, 1.0, "")
    expected = counts.sum(1, keepdim=True) * counts.sum(0) / n
    squares = float(((counts - expected).square() / expected).sum())
    free = (parts - 1) * (columns - 1)
    share = max(0.0, squares / n - free / (n - 1))
    rows, width = parts - (parts - 1) ** 2 / (n - 1), columns - (columns - 1) ** 2 / (n - 1)
    score = (share / max(min(rows, width) - 1, 1e-9)) ** 0.5
    words = f"The shares of the labels change from part to part of the upload (Cramér's V {min(score, 1.0):.2f})."
    return _Measured(score, _above(squares, free), words)


def _drift(features: Float[Tensor, "n w"], part: Int[Tensor, " n"], parts: int) -> _Measured:
    n, values = len(features), features.double()
    values = values - values.mean(0)
    total = values.square().sum(0)
    sizes = part.bincount(minlength=parts).double()
    sums = torch.zeros(parts, values.shape[1], dtype=torch.float64).index_add_(0, part, values)
    between = (sums.square() / sizes[:, None]).sum(0)
    varies = total > 1e-12 * total.max()
    if not bool(varies.any()):
        return _Measured(0.0, 1.0, "")
    within = ((total - between)[varies] / (n - parts)).clamp(min=1e-300)
    ratio = ((between[varies] - (parts - 1) * within) / total[varies]).clamp(min=0)
    place = int(ratio.argmax())
    score = float(ratio[place]) ** 0.5
    probability = _above(float(between[varies][place] / within[place]), parts - 1) * int(varies.sum())
    words = f"What the samples look like changes from part to part of the upload (correlation ratio {score:.2f})."
    return _Measured(score, probability, words)


def _above(squares: float, free: int) -> float:
    """Probability of a larger value of chi-square with so many degrees of freedom."""
    half = torch.tensor([free / 2, squares / 2], dtype=torch.float64)
    return float(torch.special.gammaincc(half[0], half[1]))
