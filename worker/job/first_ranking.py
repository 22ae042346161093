"""First ranking of a table: what trees alone say, within seconds, while the network beside them is still to be trained."""

from collections.abc import Callable
from dataclasses import replace

import torch

from service.domain.dataset import ClientWarning
from service.domain.specs import JobSpec
from worker.data.canonical import Canonical
from worker.influence.activations import Trace
from worker.job.measuring import Scored
from worker.job.preparation import PreparedJob
from worker.job.ranking import RankingResult, rank
from worker.job.trees_beside import first_trees
from worker.models.boosted_trees import BoostedTrees
from worker.signals.dynamics import learning_dynamics
from worker.signals.measurements import Answers, Unseen

_UNKNOWN = "This is the first ranking, which counts nothing. The job tells the number when it is completed."
_WARNING = ClientWarning(
    code="first_ranking",
    detail="This is a first ranking, by boosted trees alone, while the network is still trained. It knows no anomalies, "
    "no influence and no number of wrong labels. The ranking of the completed job takes its place.",
)


def first_ranking(
    prepared: PreparedJob,
    trees: BoostedTrees,
    spec: JobSpec,
    dataset: Canonical,
    on_progress: Callable[[float], None],
) -> RankingResult:
    """Rank the samples by the first of the trees that are to answer beside the network.

    `on_progress` gets the share done, from 0 to 1. Raises Invalid without OpenMP.
    """
    labels = prepared.planted.labels
    predicted = first_trees(trees, prepared.inputs, labels, spec.training.seed, on_progress)
    logits = predicted.clamp(min=torch.finfo(predicted.dtype).tiny).log()[None]
    nobody = labels[:0]
    answers = Answers(
        labels=labels,
        dynamics=learning_dynamics(logits, labels),
        unseen=Unseen(predicted, predicted[:0], nobody),
    )
    trace = Trace(logits[:, :, :0], logits, (1.0,))
    found = rank(prepared, spec.model_copy(update={"signals": []}), Scored(answers, trace, None, None), dataset)
    estimates = {
        name: {"status": "unknown", "count": told["count"], "low": None, "high": None, "reason": _UNKNOWN}
        for name, told in found.result["estimates"].items()
    }
    result = {
        **found.result,
        "stage": "quick",
        "model": {"name": spec.model.name},
        "estimates": estimates,
        "warnings": [_WARNING.model_dump()],
    }
    return replace(found, result=result)
