"""The log of an audit: which samples left the samples that draws are made of, in order, and by which model they were drawn.

A draw is what the guarantee rests on: its sample was chosen by chance, with a probability that is known. A listed sample was shown
because of its place in the ranking, an outside one was reviewed without the audit. All leave in the order of the log.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.audit.working_model import WorkingModel

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class Log:
    """L entries. A sample occurs once; entry e was written under the last model whose `first` is at most e."""

    row: Array  # int L: place of the sample among those audited
    bin: Array  # int L: its bin by the model of the entry
    is_drawn: Array  # bool L
    models: Sequence[WorkingModel]

    def __len__(self) -> int:
        return len(self.row)

    @property
    def ends(self) -> list[int]:
        """The entry after the last of each model."""
        return [*(model.first for model in self.models[1:]), len(self)] if self.models else []

    @property
    def probability(self) -> Array:
        """That the label of each entry is wrong, by its model: float L. 0 where no model had been made."""
        probability = np.zeros(len(self))
        for model, end in zip(self.models, self.ends, strict=True):
            probability[model.first : end] = model.probability[self.bin[model.first : end]]
        return probability


@dataclass(frozen=True)
class Draws:
    """What was known before each of T draws among the samples of a set that were left: of the model, not of the answers."""

    entry: Array  # int T: place in the log
    probability: Array  # float T: that the label drawn is wrong, by the model
    chance: Array  # float T: of drawing this sample
    expected: Array  # float T: wrong labels among those left, by the model
    lowest: Array  # float T: least and greatest value that the estimate of one draw could take
    highest: Array
    variance: Array  # float T: of that estimate, by the model

    def __len__(self) -> int:
        return len(self.entry)


@dataclass(frozen=True)
class Members:
    """A set of samples, which must not be chosen by their answers.

    `bins` has for each model the bin of every sample (int n), None where its ranking is gone: its draws are then left out. Models of
    one ranking share their bins.
    """

    is_logged: Array  # bool L: whether the sample of each entry is in the set
    by_answer: Array  # int: samples of each answer, from none on
    by_bin: Sequence[Array | None]  # for each model, int B: samples in each bin
    bins: Sequence[Array | None]


def draws_of(log: Log, members: Members | None = None) -> Draws:
    """The draws that fell into a set of samples, with chances within that set; into all where `members` is None."""
    parts = []
    for place, (model, end) in enumerate(zip(log.models, log.ends, strict=True)):
        left = model.left if members is None else _left(log, model, members, place)
        if left is not None:
            parts.append(_draws_by(log, model, end, left, members))
    names = ("entry", "probability", "chance", "expected", "lowest", "highest", "variance")
    if not parts:
        return Draws(np.zeros(0, np.int64), *(np.zeros(0) for _ in names[1:]))
    return Draws(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _left(log: Log, model: WorkingModel, members: Members, place: int) -> Array | None:
    """How many samples of the set were left in each bin when the model was made."""
    bins, sizes = members.bins[place], members.by_bin[place]
    if bins is None or sizes is None:
        return None
    gone = log.row[: model.first][members.is_logged[: model.first]]
    left: Array = sizes - np.bincount(bins[gone], minlength=len(model.left))
    return left


def _draws_by(log: Log, model: WorkingModel, end: int, left: Array, members: Members | None) -> Draws:
    entries = np.arange(model.first, end)
    if members is not None:
        entries = entries[members.is_logged[model.first : end]]
    drawn = log.is_drawn[entries]
    entry, bins = entries[drawn], log.bin[entries]
    # The first draw that comes after each entry.
    turn = np.searchsorted(entry, entries, side="right")
    width = len(left)
    gone = np.bincount(turn * width + bins, minlength=(len(entry) + 1) * width).reshape(-1, width)
    gone = np.cumsum(gone, axis=0)[: len(entry)]
    remaining = left - gone
    p, weight = model.probability, model.weight
    chance = weight / (remaining * weight).sum(axis=1, keepdims=True)
    expected = remaining @ p
    there = remaining > 0
    mine = np.arange(len(entry)), bins[drawn]
    return Draws(
        entry=entry,
        probability=p[mine[1]],
        chance=chance[mine],
        expected=expected,
        lowest=expected + np.where(there, -p / chance, np.inf).min(axis=1, initial=np.inf),
        highest=expected + np.where(there, (1 - p) / chance, -np.inf).max(axis=1, initial=-np.inf),
        variance=(remaining * p * (1 - p) / chance).sum(axis=1),
    )
