"""What a client should know of a ranking before trusting it."""

from collections.abc import Iterator

from service.domain.dataset import ClientWarning
from service.domain.signal import SIGNALS
from service.domain.specs import ModelRequest
from worker.job.preparation import JobSamples
from worker.signals.counts import CountEstimate
from worker.signals.dynamics import early_checkpoints
from worker.signals.measurements import Answers, Measurements
from worker.signals.verdicts import TRUSTED_ROWS

_LEARNT = 0.05  # of what the commonest label leaves to be learnt
_UNTOLD = 0.05  # of the samples: an interval from none to more than these says little
_TOO_RIGHT = 0.998  # of the labels: hardly any model predicts so many of samples that it has not seen


def ranking_warnings(
    prepared: JobSamples, m: Answers, model: ModelRequest, train_accuracy: float | None, wrong: CountEstimate
) -> list[ClientWarning]:
    """What is missing, guessed or rare; `wrong` is the estimated number of wrong labels."""
    return [
        *_begun(model),
        *(_of_predictions(m, train_accuracy) if m.unseen is not None else ()),
        *_reference(m),
        *_count(m, wrong),
        *_columns(prepared, m),
        *(_learning(m, train_accuracy) if m.unseen is None else ()),
        *_rare(prepared, m),
    ]


def _begun(model: ModelRequest) -> Iterator[ClientWarning]:
    if model.params.get("head") == "keep":
        yield ClientWarning(
            code="trained_before",
            detail="training went on from uploaded weights with their last layer. If these were trained on the same "
            "labels, they had learnt the wrong ones by heart before the first checkpoint, and few are found: begin "
            "with weights of other data or of an early epoch, or with params.head new.",
        )


def _of_predictions(m: Answers, accuracy: float | None) -> Iterator[ClientWarning]:
    followed = ", ".join(name for name, signal in SIGNALS.items() if signal.training)
    step = ", and influence is that of one step along them" if isinstance(m, Measurements) else ""
    yield ClientWarning(
        code="no_training",
        detail="these are out-of-sample predictions: what follows a training over its checkpoints is not computed "
        f"({followed}){step}.",
    )
    if not isinstance(m, Measurements):
        yield ClientWarning(
            code="no_features",
            detail="nothing says which samples are alike, so there is no `anomalous`, no influence, no neighbour and no "
            "group: mislabeled is ranked by the predictions alone. Upload `features` beside pred_probs, an embedding of "
            "each sample say.",
        )
    commonest = _commonest(m)
    if accuracy is not None and accuracy > _TOO_RIGHT:
        yield ClientWarning(
            code="seen_samples",
            detail=f"the predictions agree with {accuracy:.1%} of the labels. If they were made by models that had learnt "
            "from these samples, wrong labels included, they hide what is wrong: predict out of sample, by "
            "cross-validation say.",
        )
    elif accuracy is not None and accuracy < commonest + _LEARNT * (1 - commonest):
        yield ClientWarning(
            code="weak_predictions",
            detail=f"the predictions agree with {accuracy:.0%} of the labels, and the commonest class is {commonest:.0%} of "
            "them: the ranking says little.",
        )


def _reference(m: Answers) -> Iterator[ClientWarning]:
    if not isinstance(m, Measurements):
        return
    if m.trusted is None:
        yield ClientWarning(
            code="no_trusted_reference",
            detail="`anomalous` compares each sample with its own label only, and nothing gets the verdict "
            "anomalous. Anomalies that form a cluster under one label rank high only where they stand clearly "
            "apart from the rest of it (GET /jobs/{id}/groups lists such groups); scattered ones near the data do "
            "not. About 50 verified samples in reference.samples already help the ranking, 150 allow verdicts; "
            "GET /jobs/{id}/verify-next proposes them.",
        )
    elif len(m.trusted.labels) < TRUSTED_ROWS:
        yield ClientWarning(
            code="small_trusted_reference",
            detail=f"{len(m.trusted.labels)} verified samples rank anomalies, but are too few to count them: "
            f"nothing gets the verdict anomalous below {TRUSTED_ROWS}.",
        )


def _count(m: Answers, wrong: CountEstimate) -> Iterator[ClientWarning]:
    if wrong.high > _UNTOLD * max(len(m.labels), 1) and not wrong.low:
        yield ClientWarning(
            code="rough_estimate",
            detail="how many labels are wrong is a guess: the classes overlap, and nothing verified tells how much. "
            f"With {TRUSTED_ROWS} verified samples or more in the reference the number is measured.",
        )


def _columns(prepared: JobSamples, m: Answers) -> Iterator[ClientWarning]:
    if isinstance(m, Measurements) and prepared.columns is not None and len(prepared.columns.rows) < len(m.labels):
        yield ClientWarning(
            code="reference_sampled",
            detail=f"the training set is its own reference; signals of cost `pairs` are estimated on "
            f"{len(prepared.columns.rows)} of its {len(m.labels)} rows, drawn from every class. Set "
            f"influence.columns to {len(m.labels)} for the exact sums.",
        )


def _learning(m: Answers, train_accuracy: float | None) -> Iterator[ClientWarning]:
    commonest = _commonest(m)
    if train_accuracy is not None and train_accuracy < commonest + _LEARNT * (1 - commonest):
        yield ClientWarning(
            code="learnt_nothing",
            detail=f"at the end the model is right on {train_accuracy:.0%} of the samples, and {commonest:.0%} carry the "
            "commonest label: it has learnt next to nothing, and the ranking says little. Another "
            "training.learning_rate, usually a lower one, more epochs or another model may help.",
        )
    early = m.dynamics.margin[: early_checkpoints(len(m.dynamics.margin))] > 0
    share = float(early.float().mean())
    if train_accuracy is not None and share < commonest + 0.25 * (train_accuracy - commonest):
        yield ClientWarning(
            code="slow_start",
            detail=f"in the early epochs the model was right on {share:.0%} of the samples, at the end on "
            f"{train_accuracy:.0%}: early signals are mostly noise. Raise training.learning_rate or epochs.",
        )


def _rare(prepared: JobSamples, m: Answers) -> Iterator[ClientWarning]:
    sizes = m.labels.bincount(minlength=len(prepared.classes))
    rare = [name for name, size in zip(prepared.classes, sizes, strict=True) if size < 5]
    if rare:
        learnt = " to learn from" if m.unseen is None else ""
        yield ClientWarning(
            code="rare_class",
            detail=f"fewer than 5 samples{learnt}, so their scores say little: {', '.join(rare[:20])}",
        )


def _commonest(m: Answers) -> float:
    return float(m.labels.bincount().max()) / len(m.labels)
