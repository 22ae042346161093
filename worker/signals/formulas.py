"""Every signal: one function of what was measured to one score a sample, higher = more suspicious.

The formulas, sources and meanings are in service.domain.signal; the names there and here are the same.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from scipy.stats import rankdata
from torch import Tensor

from worker.signals.measurements import Measurements, early_checkpoints

Scores = Float[Tensor, " n"]


def rank(scores: Scores) -> Scores:
    """Average rank over n, in (0, 1]; the highest score has the highest rank."""
    return torch.from_numpy(rankdata(scores.numpy())) / max(len(scores), 1)


def _own(m: Measurements, by_class: Float[Tensor, "n c"]) -> Scores:
    return by_class.gather(1, m.labels[:, None]).squeeze(1)


def _missing(support: Float[Tensor, "s n"]) -> Scores:
    return torch.stack([rank(1 - row) for row in support]).mean(0)


def _mean(*scores: Scores) -> Scores:
    return torch.stack([score.double() for score in scores]).mean(0)


def _forgetting(m: Measurements) -> Scores:
    right = m.dynamics.margin > 0
    lost = (right[:-1] & ~right[1:]).sum(0).float()
    return torch.where(right.any(0), lost, float(len(right) + 1))


def _aum_early(m: Measurements) -> Scores:
    return -m.dynamics.margin[: early_checkpoints(len(m.dynamics.margin))].mean(0)


def _knn_vote(m: Measurements) -> Scores:
    others = m.votes.scatter(1, m.labels[:, None], -torch.inf).amax(1)
    return others - _own(m, m.votes)


def _mai(m: Measurements) -> Scores:
    return m.pairs.positive.amount.sum(1) + m.pairs.negative.amount.sum(1)


def _mislabeled(m: Measurements) -> Scores:
    return _mean(rank(_aum_early(m)), rank(m.dynamics.loss.mean(0)), rank(_knn_vote(m)))


def _anomalous(m: Measurements) -> Scores:
    if m.support is None:
        return _missing(m.own_support)
    return _mean(rank(_missing(m.support.same)), rank(_missing(m.support.every)))


FORMULAS: dict[str, Callable[[Measurements], Scores | None]] = {
    "mislabeled": _mislabeled,
    "anomalous": _anomalous,
    "si": lambda m: m.self_influence.sum(0),
    "aai": lambda m: _mai(m) / m.pairs.weight,
    "mai": _mai,
    "mi": lambda m: -m.class_influence.sum((0, 2)),
    "mpi": lambda m: m.pairs.positive.amount.sum(1),
    "mni": lambda m: m.pairs.negative.amount.sum(1),
    "gd_class": lambda m: -m.class_influence.sum(0).amin(1),
    "nil": lambda m: _own(m, m.pairs.negative.amount),
    "nil_opt": lambda m: m.pairs.negative.amount.amax(1),
    "slip": lambda m: -_own(m, m.pairs.positive.count),
    "slin": lambda m: _own(m, m.pairs.negative.count),
    "aum": lambda m: -m.dynamics.margin.mean(0),
    "aum_early": _aum_early,
    "el2n": lambda m: m.dynamics.error_norm.mean(0),
    "loss": lambda m: m.dynamics.loss.mean(0),
    "forgetting": _forgetting,
    "knn_vote": _knn_vote,
    "support_same": lambda m: None if m.support is None else _missing(m.support.same),
    "support_all": lambda m: None if m.support is None else _missing(m.support.every),
    "support_self": lambda m: _missing(m.own_support),
}


class NotFinite(Exception):
    """A signal that is not a number for some samples: a fault of ours, told instead of hidden."""


def compute(m: Measurements, names: list[str]) -> dict[str, Scores]:
    """The named signals that this job can have; those that need a trusted reference are left out without one."""
    found = {name: FORMULAS[name](m) for name in names}
    result = {name: scores for name, scores in found.items() if scores is not None}
    for name, scores in result.items():
        bad = int((~torch.isfinite(scores)).sum())
        if bad:
            raise NotFinite(f"signal {name} is not finite for {bad} of {len(scores)} samples")
    return result
