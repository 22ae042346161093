"""Scoring: every sample measured by the model that a job has trained."""

from collections.abc import Callable, Sequence
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from service.domain.specs import JobSpec
from worker.influence.activations import ActivationRecorder
from worker.influence.gradient_sources import CheckpointedModel, ChosenLayerGradients
from worker.influence.row_computations import Begin, OnShare, alone
from worker.job.growing_trees import GrowingTrees
from worker.job.measuring import Scored, measure
from worker.job.preparation import PreparedJob
from worker.job.tree_scoring import score_trees
from worker.job.trees_beside import trees_beside
from worker.machine.devices import device_of
from worker.models import head
from worker.models.boosted_trees import BoostedTrees
from worker.signals.reference import Chosen

_BY_TREES = 0.65  # share of the work that trees beside a network are; measured on adult


def score(
    prepared: PreparedJob,
    spec: JobSpec,
    rates: Sequence[float],
    load: Callable[[int], dict[str, Tensor]],
    scratch: Path,
    on_progress: OnShare,
    begin: Begin = alone,
    by_trees: Float[Tensor, "n c"] | None = None,
    trees: GrowingTrees | None = None,
) -> Scored:
    """Measure checkpoint after checkpoint, then every pair.

    `load(t)` gives the parameters of checkpoint t, which had the learning rate `rates[t]`. `on_progress` gets the share done,
    from 0 to 1. Activations and logits are written to `scratch`. `begin` begins what others may share.
    `by_trees`: what trees beside the network said when the job was scored before; without it, and without `trees` that grow already,
    they are grown.
    """
    if isinstance(prepared.model, BoostedTrees):
        # The last checkpoint has the trees of all.
        prepared.model.load_state_dict(load(len(rates) - 1))
        return score_trees(prepared, prepared.model, spec, on_progress, begin)
    left = 0.0
    if prepared.trees is not None and by_trees is None:
        done = 0.0 if trees is None else trees.share
        left = _BY_TREES * (1 - done)

        def on_trees(share: float) -> None:
            on_progress(_BY_TREES * (share - done))

        by_trees = (
            trees.answers(on_trees)
            if trees is not None
            else trees_beside(prepared.trees, prepared.inputs, prepared.planted.labels, spec.training.seed, on_trees)
        )
    model, last = prepared.model, head(prepared.model)
    train = ActivationRecorder(model, last, prepared.inputs, rates, scratch)
    reference = None
    if prepared.columns is None:
        reference = ActivationRecorder(model, last, prepared.reference_inputs, rates, scratch / "reference")

    def set_to(t: int) -> None:
        model.load_state_dict(load(t))
        if prepared.network is not None:
            prepared.network.add_checkpoint(model.state_dict())

    chosen = None if prepared.network is None else _chosen(prepared.network, prepared)
    return measure(
        prepared,
        spec,
        train,
        reference,
        lambda share: on_progress(left + (1 - left) * share),
        begin=begin,
        device=device_of(model),
        set_to=set_to,
        frozen=prepared.frozen,
        known_frozen=None if prepared.frozen is None or reference is None else prepared.reference_inputs[0],
        chosen=chosen,
        by_trees=by_trees,
    )


def _chosen(network: CheckpointedModel, prepared: PreparedJob) -> Chosen:
    train = ChosenLayerGradients(network, prepared.inputs)
    if prepared.columns is None:
        reference = ChosenLayerGradients(network, prepared.reference_inputs)
        return Chosen(train, reference, reference)
    return Chosen(train, None, ChosenLayerGradients(network, [part[prepared.columns.rows] for part in prepared.inputs]))
