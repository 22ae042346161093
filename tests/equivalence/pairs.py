"""Sums over all pairs as the worker computes them, in this process."""

from torch import Tensor

from worker.influence.gradient_sources import GradientSource
from worker.influence.pair_computation import pair_computation, pair_sums_of
from worker.influence.pair_inputs import PairInputs
from worker.influence.pair_sums import PairSums
from worker.influence.pairs_counted import PairsCounted
from worker.influence.tracin import CheckpointInfluence


def pair_sums(
    train: GradientSource,
    labels: Tensor,
    reference: GradientSource,
    reference_labels: Tensor,
    rates: tuple[float, ...],
    classes: int,
    counted: PairsCounted | None = None,
    *,
    by_checkpoint: bool = False,
) -> tuple[PairSums, list[CheckpointInfluence]]:
    counted = counted or PairsCounted()
    inputs = PairInputs(
        train,
        labels,
        reference,
        reference_labels,
        rates,
        classes,
        counted,
        by_checkpoint=by_checkpoint,
        relabelled=True,
    )
    found = pair_computation(inputs).open()(slice(0, len(labels)))
    return pair_sums_of(found, reference_labels, len(rates), counted)


def others(sums: PairSums) -> dict[str, Tensor]:
    """What is kept of each row beside the sums by class, by name."""
    assert sums.relabelled is not None
    return {"weight": sums.weight, **vars(sums.relabelled)}
