"""The settings of a job in words."""

from collections import Counter
from collections.abc import Iterator, Mapping

from service.domain.dataset import DatasetInfo, Modality
from service.domain.models import MODELS
from service.domain.specs import JobSpec, Reference
from service.report.facts import Facts
from service.report.wording import PERCENT, Term, counted_classes, counted_rows, date, many

_KINDS: Mapping[Modality, str] = {
    "tabular": "a table of ",
    "trace": "a training that was recorded elsewhere, ",
    "predictions": "out-of-sample predictions of ",
}
_LAYERS = {"last": "the last layer", "last-2": "the last two layers", "all": "all layers"}


def describe_job(facts: Facts) -> list[Term]:
    """Name and description of each part of the job; parts that it does not have are left out."""
    spec, dataset = facts.job.spec, facts.dataset
    parts = [
        ("Dataset", _dataset(dataset)),
        ("Examined", f"{many(facts.samples, 'sample')} of the split train"),
        ("Planted errors", _glitches(spec)),
        ("Model", _model(spec)),
        ("Training", _training(facts)),
        ("Influence", _influence(spec, dataset)),
        ("Reference", _reference(facts)),
        ("Time", _time(facts)),
        ("Job", facts.job.id),
    ]
    return [(name, words) for name, words in parts if words]


def _dataset(info: DatasetInfo) -> str:
    parts = [_KINDS.get(info.modality, "") + counted_rows(info), counted_classes(info.classes)]
    if info.modality == "tabular":
        kinds = Counter(feature.kind for feature in info.features)
        listed = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        parts.append(f"{many(len(info.features), 'feature')} ({listed})")
    if len(info.splits) > 1:
        parts.append("splits " + ", ".join(f"{name} ({number:,})" for name, number in info.splits.items()))
    sentences = f"{info.name} ({info.id}): {', '.join(parts)}."
    if info.skipped_rows:
        sentences += f" {many(info.skipped_rows, 'row')} of the upload could not be used."
    lineage = info.lineage
    if lineage is not None:
        changes = f"{many(lineage.relabelled, 'label')} changed, {many(lineage.removed, 'sample')} removed"
        sentences += (
            f" It is a corrected version of {lineage.parent} by the {lineage.applied} of {lineage.job}: {changes}."
        )
    return sentences


def _glitches(spec: JobSpec) -> str:
    return ", ".join(
        f"{glitch.kind.replace('_', ' ')} ({100 * glitch.rate:g}{PERCENT})" for glitch in spec.glitches or ()
    )


def _model(spec: JobSpec) -> str:
    model = MODELS.get(spec.model.name)
    chosen = {name.replace("_", " "): value for name, value in spec.model.params.items() if value is not None}
    params = ", ".join(f"{name} {value}" for name, value in chosen.items())
    return f"{model.title if model else ''} ({spec.model.name})" + (f": {params}" if params else "")


def _training(facts: Facts) -> str:
    training = facts.job.spec.training
    if facts.predicted:
        return "None: the predictions come from models that were not trained on these samples."
    if facts.dataset.recording is not None:
        return f"Recorded elsewhere, at {many(training.epochs, 'checkpoint')}."
    rate = facts.result["model"].get("learning_rate") or training.learning_rate
    ran = len(facts.epochs) or training.epochs
    if MODELS[facts.job.spec.model.name].trees:
        return f"{many(10 * ran, 'round')} of trees, learning rate {rate:g}, seed {training.seed}"
    epochs = many(ran, "epoch") if ran >= training.epochs else f"{ran} of {many(training.epochs, 'epoch')}"
    parts = [
        f"{epochs} of {training.optimizer}, batches of {training.batch_size}",
        f"learning rate {rate:g}{' (found by short runs)' if training.find_learning_rate else ''}",
        f"{training.schedule} schedule",
        *_options(facts.job.spec),
        f"seed {training.seed}",
    ]
    return ", ".join(parts)


def _options(spec: JobSpec) -> Iterator[str]:
    training = spec.training
    if training.weight_decay:
        yield f"weight decay {training.weight_decay:g}"
    if training.class_weights != "none":
        yield f"{training.class_weights} class weights"
    if training.augmentation != "none":
        yield f"augmentation {training.augmentation}"
    if training.precision != "float32":
        yield training.precision


def _influence(spec: JobSpec, dataset: DatasetInfo) -> str:
    if dataset.modality == "predictions":
        return (
            "" if dataset.is_bare else "TracIn of one step of a linear layer over the features, along the predictions"
        )
    if MODELS[spec.model.name].trees:
        return "BoostIn with the leaves of the trees, at the end of every ten rounds"
    layers = spec.influence.layers
    named = _LAYERS.get(layers, layers) if isinstance(layers, str) else ", ".join(layers)
    checkpoints = spec.training.checkpoints
    scored = "the end of every epoch" if checkpoints == "all" else f"the ends of {many(checkpoints, 'epoch')}"
    return f"TracIn with the gradients of {named}, at {scored}" + (
        f", in random projections of {spec.influence.dimension} numbers" if spec.influence.estimator != "tracin" else ""
    )


def _reference(facts: Facts) -> str:
    reference, rescored_by = facts.job.spec.reference, facts.rescored_by
    own = "the training samples, not verified"
    if reference is not None:
        own = f"{_chosen(reference, facts)}, {'verified by people' if reference.is_trusted else 'not verified'}"
    if rescored_by is not None and facts.has_trusted_reference:
        return f"{many(rescored_by, 'sample')} that people have verified, by which the samples were scored again. Among them: {own}."
    if rescored_by is not None:
        used = f"{many(rescored_by, 'sample')} that people have verified since, by which the samples were scored again"
        return f"{used}. The job itself had: {own}."
    since = ""
    if facts.verified:
        are = "is" if facts.verified == 1 else "are"
        since = f" {many(facts.verified, 'ranked sample')} {are} verified by now; scoring again would use that."
    if reference is not None:
        return f"{own}.{since}"
    none = "None: the training samples serve as the reference"
    return f"{none}.{since}" if since else f"{none}, and nobody has verified them."


def _chosen(reference: Reference, facts: Facts) -> str:
    if reference.split is not None:
        return f"The split {reference.split}, {many(facts.dataset.splits.get(reference.split, 0), 'sample')}"
    if reference.samples is not None:
        return f"{many(len(reference.samples), 'sample')} by name"
    if reference.holdout is not None:
        return f"{100 * reference.holdout:g}{PERCENT} of the training part, held out"
    details = "" if facts.reference is None else f" {facts.reference.name}, {many(facts.reference.rows, 'sample')}"
    return f"The dataset{details} ({reference.dataset})"


def _time(facts: Facts) -> str:
    durations = [
        f"{name.removesuffix('_s').replace('_', ' ')} {seconds:.1f} s"
        for name, seconds in facts.result["timings"].items()
    ]
    finished = facts.job.finished_at
    return ", ".join(durations) + (f"; finished {date(finished)}" if finished else "")
