"""What a client should know of a ranking before trusting it."""

from service.domain.dataset import Warning
from service.domain.specs import ModelRequest
from worker.preparation import Samples
from worker.signals.counts import Estimate
from worker.signals.measurements import Measurements, early_checkpoints
from worker.signals.verdicts import TRUSTED_ROWS

_LEARNT = 0.05  # of what the commonest label leaves to be learnt
_UNTOLD = 0.05  # of the samples: an interval from none to more than these says little


def cautions(
    prepared: Samples, m: Measurements, model: ModelRequest, train_accuracy: float | None, wrong: Estimate
) -> list[Warning]:
    """What is missing, guessed or rare; `wrong` is the estimated number of wrong labels."""
    found: list[Warning] = []
    if model.params.get("head") == "keep":
        found.append(
            Warning(
                code="trained_before",
                detail="training went on from uploaded weights with their last layer. If these were trained on the same "
                "labels, they had learnt the wrong ones by heart before the first checkpoint, and few are found: begin "
                "with weights of other data or of an early epoch, or with params.head new.",
            )
        )
    if m.trusted is None:
        found.append(
            Warning(
                code="no_trusted_reference",
                detail="`anomalous` compares each sample with its own label only, and nothing gets the verdict "
                "anomalous. Anomalies that form a cluster under one label rank high only where they stand clearly "
                "apart from the rest of it (GET /jobs/{id}/groups lists such groups); scattered ones near the data do "
                "not. About 50 verified samples in reference.samples already help the ranking, 150 allow verdicts; "
                "GET /jobs/{id}/verify-next proposes them.",
            )
        )
    elif len(m.trusted.labels) < TRUSTED_ROWS:
        found.append(
            Warning(
                code="small_trusted_reference",
                detail=f"{len(m.trusted.labels)} verified samples rank anomalies, but are too few to count them: "
                f"nothing gets the verdict anomalous below {TRUSTED_ROWS}.",
            )
        )
    if wrong.high > _UNTOLD * max(len(m.labels), 1) and not wrong.low:
        found.append(
            Warning(
                code="rough_estimate",
                detail="how many labels are wrong is a guess: the classes overlap, and nothing verified tells how much. "
                f"With {TRUSTED_ROWS} verified samples or more in the reference the number is measured.",
            )
        )
    if prepared.columns is not None and len(prepared.columns.rows) < len(m.labels):
        found.append(
            Warning(
                code="reference_sampled",
                detail=f"the training set is its own reference; signals of cost `pairs` are estimated on "
                f"{len(prepared.columns.rows)} of its {len(m.labels)} rows, drawn from every class. Set "
                f"influence.columns to {len(m.labels)} for the exact sums.",
            )
        )
    commonest = float(m.labels.bincount().max()) / len(m.labels)
    if train_accuracy is not None and train_accuracy < commonest + _LEARNT * (1 - commonest):
        found.append(
            Warning(
                code="learnt_nothing",
                detail=f"at the end the model is right on {train_accuracy:.0%} of the samples, and {commonest:.0%} carry the "
                "commonest label: it has learnt next to nothing, and the ranking says little. Another "
                "training.learning_rate, usually a lower one, more epochs or another model may help.",
            )
        )
    early = m.dynamics.margin[: early_checkpoints(len(m.dynamics.margin))] > 0
    share = float(early.float().mean())
    if train_accuracy is not None and share < commonest + 0.25 * (train_accuracy - commonest):
        found.append(
            Warning(
                code="slow_start",
                detail=f"in the early epochs the model was right on {share:.0%} of the samples, at the end on "
                f"{train_accuracy:.0%}: early signals are mostly noise. Raise training.learning_rate or epochs.",
            )
        )
    rare = [
        name
        for name, size in zip(prepared.classes, m.labels.bincount(minlength=len(prepared.classes)), strict=True)
        if size < 5
    ]
    if rare:
        found.append(
            Warning(
                code="rare_class",
                detail=f"fewer than 5 samples to learn from, so their scores say little: {', '.join(rare[:20])}",
            )
        )
    return found
