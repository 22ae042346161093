"""Every signal: one function of what was measured to one score a sample, higher = more suspicious.

The published formulas, with sources and meanings, are in service.domain.signal under the same names.
"""

from collections.abc import Callable
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from service.domain.signal import SIGNALS, Signal
from worker.influence.pair_sums import Relabelled
from worker.signals.anomaly import in_units, tail_score
from worker.signals.blend import mixture_weight
from worker.signals.confident import odds_of_error
from worker.signals.dynamics import early_checkpoints, late_checkpoints
from worker.signals.groups import gap_of_members
from worker.signals.mahalanobis import mahalanobis
from worker.signals.margin import margin
from worker.signals.measurements import Answers, Measurements
from worker.signals.ranks import mean_rank, rank
from worker.signals.trusted import Trusted

Scores = Float[Tensor, " n"]

_BESIDE = 0.25  # weight of gc_own in `mislabeled`; see benchmarks/results/blends.md
_NORMAL = 0.41  # the 75 % quantile of a normal distribution over its 95 % quantile
_ONE_CLUSTER, _TWO_CLUSTERS = 0.80, 0.86  # gaps: no label of the development sets without anomalies reached the second


def _own(m: Answers, by_class: Float[Tensor, "n c"]) -> Scores:
    return by_class.gather(1, m.labels[:, None]).squeeze(1)


def _mean(*parts: tuple[Scores, float]) -> Scores:
    """Weighted mean of scores."""
    total = sum(weight for _, weight in parts)
    return torch.stack([score.double() * (weight / total) for score, weight in parts]).sum(0)


def _forgetting(m: Answers) -> Scores:
    right = m.dynamics.margin > 0
    lost = (right[:-1] & ~right[1:]).sum(0).float()
    return torch.where(right.any(0), lost, float(len(right) + 1))


def _aum(m: Answers) -> Scores:
    return -m.dynamics.margin.mean(0)


def _aum_early(m: Answers) -> Scores:
    return -m.dynamics.margin[: early_checkpoints(len(m.dynamics.margin))].mean(0)


def _frozen_vote(m: Measurements) -> Scores:
    if m.embedding_votes is None:
        raise NotMeasuredError("embedding_votes", "embeddings")
    return -margin(m.embedding_votes, m.labels)


def _out_of_bag(m: Measurements) -> Scores:
    if m.out_of_bag is None:
        raise NotMeasuredError("out_of_bag", "trees")
    return 1 - _own(m, m.out_of_bag)


def _trusted(m: Measurements) -> Trusted:
    if m.trusted is None:
        raise NotMeasuredError("trusted", "trusted_reference")
    return m.trusted


def _relabelled(m: Measurements) -> Relabelled:
    if m.pairs.relabelled is None:
        raise NotMeasuredError("influence after relabelling", "relabelled")
    return m.pairs.relabelled


def _gc_own(m: Measurements) -> Scores:
    return mean_rank(-m.influence.own_cosine)


def _mai(m: Measurements) -> Scores:
    return m.pairs.positive.amount.sum(1) + m.pairs.negative.amount.sum(1)


def _mi(m: Measurements) -> Scores:
    return -m.influence.by_class.sum((0, 2))


def _relatif(m: Measurements) -> Scores:
    length = m.influence.self_influence.double().sum(0).sqrt()
    return _mi(m) / m.pairs.weight / length.clamp(min=torch.finfo(torch.float32).tiny)


def _pcid(m: Measurements) -> Scores:
    product = m.pairs.positive.amount.double().sum(1) * _relabelled(m).moved.double()
    return 1 / product.clamp(min=torch.finfo(torch.float32).tiny)


def _late(m: Measurements) -> Scores:
    total = m.influence.self_influence.double().sum(0).clamp(min=torch.finfo(torch.float32).tiny)
    return m.influence.self_influence[-late_checkpoints(len(m.influence.self_influence)) :].double().sum(0) / total


def _mislabeled(m: Answers) -> Scores:
    if m.unseen is not None:
        return _by_predictions(m, m.unseen.train)
    if not isinstance(m, Measurements):
        return _mean((rank(_aum(m)), 1.0), (rank(m.dynamics.loss.mean(0)), 1.0))
    parts = [(rank(m.confusion.scores), 1.0)]
    if m.grouped:
        # The model learns from the rest of the group: an error that the group shares is soon fitted, and its margin is large.
        parts.append((rank(-margin(m.position.guess, m.labels)), 1.0))
    if m.trusted is not None:
        parts.append((rank(_gc_own(m)), _BESIDE))
    return _mean(*parts)


def _by_predictions(m: Answers, predicted: Float[Tensor, "n c"]) -> Scores:
    """Out-of-sample predictions, to which neighbours are added by the weight that the labels give them."""
    parts = [(rank(-m.dynamics.margin[0]), 1.0)]
    if not isinstance(m, Measurements):
        return _mean(*parts, (rank(odds_of_error(predicted, m.labels)), 1.0))
    chance = (m.labels.bincount() / len(m.labels))[m.labels]
    share = mixture_weight(_own(m, predicted), _own(m, m.votes.mean), chance)
    blend = (1 - share) * predicted + share * m.votes.mean
    parts += [(rank(odds_of_error(blend, m.labels)), 1.0), (rank(-margin(m.votes.mean, m.labels)), 2 * share)]
    if m.trusted is not None:
        parts.append((rank(_gc_own(m)), 1.0))
    return _mean(*parts)


def _label_split(m: Measurements) -> Scores:
    return gap_of_members(m.position.groups, len(m.labels))


def _mahalanobis(m: Measurements) -> Scores:
    return in_units(mahalanobis(m.position.features, m.labels), 0.95)


def _anomalous(m: Measurements) -> Scores:
    if m.trusted is not None:
        return tail_score(m.trusted.strange.train.amax(0))
    # By the middle half, which hardly depends on how many anomalies there are; of a normal distribution, 1 is the 95 % quantile.
    parts = (m.position.label_distance, _mahalanobis(m), m.position.isolation)
    far = torch.stack([_NORMAL * in_units(score, 0.75) for score in parts]).amax(0)
    gap = _label_split(m)
    apart = (gap - _ONE_CLUSTER) / (_TWO_CLUSTERS - _ONE_CLUSTER)
    return tail_score(torch.where(gap > _TWO_CLUSTERS, torch.maximum(far, apart), far))


FORMULAS: dict[str, Callable[[Measurements], Scores]] = {
    "mislabeled": _mislabeled,
    "anomalous": _anomalous,
    "si": lambda m: m.influence.self_influence.sum(0),
    "aai": lambda m: _mai(m) / m.pairs.weight,
    "mai": _mai,
    "mi": _mi,
    "mpi": lambda m: m.pairs.positive.amount.sum(1),
    "mni": lambda m: m.pairs.negative.amount.sum(1),
    "gd_class": lambda m: -m.influence.by_class.sum(0).amin(1),
    "nil": lambda m: _own(m, m.pairs.negative.amount),
    "nil_opt": lambda m: m.pairs.negative.amount.amax(1),
    "slip": lambda m: -_own(m, m.pairs.positive.count),
    "slin": lambda m: _own(m, m.pairs.negative.count),
    "cnci": lambda m: _relabelled(m).repaired,
    "pcid": _pcid,
    "cfrank": lambda m: torch.maximum(rank(_relabelled(m).repaired), rank(_pcid(m))),
    "relatif": _relatif,
    "gc_own": _gc_own,
    "gc_margin": lambda m: mean_rank(-m.influence.cosine_margin),
    "aum": _aum,
    "aum_early": _aum_early,
    "confusion_margin": lambda m: m.confusion.scores,
    "el2n": lambda m: m.dynamics.error_norm.mean(0),
    "loss": lambda m: m.dynamics.loss.mean(0),
    "final_loss": lambda m: m.dynamics.loss[-1],
    "out_of_bag": _out_of_bag,
    "confidence": lambda m: -(-m.dynamics.loss).exp().mean(0),
    "variability": lambda m: (-m.dynamics.loss).exp().std(0, correction=0),
    "forgetting": _forgetting,
    "grand": lambda m: m.influence.gradient_norm.mean(0),
    "late_influence": _late,
    "knn_vote": lambda m: -margin(m.votes.mean, m.labels),
    "frozen_vote": _frozen_vote,
    "held_out_guess": lambda m: -margin(m.position.guess, m.labels),
    "influence_density": lambda m: mean_rank(_trusted(m).density),
    "support_same": lambda m: mean_rank(-_trusted(m).same),
    "support_all": lambda m: mean_rank(-_trusted(m).every),
    "remoteness": lambda m: _trusted(m).strange.train[0],
    "crowding": lambda m: _trusted(m).strange.train[1],
    "divergence": lambda m: _trusted(m).strange.train[2],
    "support_self": lambda m: mean_rank(-m.votes.own_support),
    "label_distance": lambda m: m.position.label_distance,
    "mahalanobis": _mahalanobis,
    "isolation": lambda m: m.position.isolation,
    "label_split": _label_split,
}


class NotFinite(Exception):
    """A signal is not a number for some samples: a fault of its formula."""


class NotMeasuredError(Exception):
    """A formula reads what this job has not measured: its row in service.domain.signal lacks a flag."""

    def __init__(self, measurement: str, flag: str) -> None:
        super().__init__(f"no {measurement} was measured: set the signal's flag {flag} in service/domain/signal.py")


def compute(m: Answers, names: list[str]) -> dict[str, Scores]:
    """The named signals that the table offers for a job with these measurements, in the order of the names.

    Raises NotFinite for scores that are not numbers, NotMeasuredError for a formula that reads more than its row says.
    """
    # Answers alone are enough for a signal that the table offers for them.
    result = {name: FORMULAS[name](cast("Measurements", m)) for name in names if why_not(SIGNALS[name], m) is None}
    for name, scores in result.items():
        bad = int((~torch.isfinite(scores)).sum())
        if bad:
            raise NotFinite(f"signal {name} is not finite for {bad} of {len(scores)} samples")
    return result


def why_not(signal: Signal, m: Answers) -> str | None:
    """Why a job with these measurements has no such signal, by the flags of its row; None if it has it."""
    if signal.training and m.unseen is not None:
        return "the predictions come without a training"
    if not isinstance(m, Measurements):
        return None if signal.predictions else "the predictions come without features"
    if signal.trusted_reference and m.trusted is None:
        return "the job has no samples that people have verified"
    if signal.weights and m.out_of_bag is not None:
        return "trees have no gradients of weights"
    if signal.trees and m.out_of_bag is None:
        return "the model is not boosted_trees"
    if signal.relabelled and m.pairs.relabelled is None:
        return "influence after relabelling was not computed"
    return "the samples are not embeddings" if signal.embeddings and m.embedding_votes is None else None
