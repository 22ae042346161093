"""What a job did, in words."""

from collections import Counter
from collections.abc import Iterator, Sequence

from service.domain.dataset import DatasetInfo, Modality
from service.domain.models import MODELS
from service.domain.specs import JobSpec, Reference
from service.report.facts import Facts
from service.report.wording import PERCENT, Term, many

_UNITS: dict[Modality, tuple[str, str]] = {
    "tabular": ("a table of ", "row"),
    "image": ("", "image"),
    "text": ("", "text"),
    "embedding": ("", "embedding"),
    "trace": ("a training that was recorded elsewhere, ", "sample"),
    "predictions": ("out-of-sample predictions of ", "sample"),
}
_LAYERS = {"last": "the last layer", "last-2": "the last two layers", "all": "all layers"}


def what_was_run(facts: Facts) -> list[Term]:
    """The job in words, part by part."""
    spec, dataset = facts.job.spec, facts.dataset
    parts = [
        ("Dataset", _dataset(dataset)),
        ("Ranked", f"{many(facts.samples, 'sample')} of the split train"),
        ("Planted first", _glitches(spec)),
        ("Model", _model(spec)),
        ("Training", _training(facts)),
        ("Influence", _influence(spec, dataset)),
        ("Reference", _reference(facts)),
        ("Time", _time(facts)),
        ("Job", facts.job.id),
    ]
    return [(name, words) for name, words in parts if words]


def _dataset(info: DatasetInfo) -> str:
    what, unit = _UNITS[info.modality]
    parts = [what + many(info.rows, unit), _classes(info.classes)]
    if info.modality == "tabular":
        kinds = Counter(feature.kind for feature in info.features)
        listed = ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        parts.append(f"{many(len(info.features), 'feature')} ({listed})")
    if len(info.splits) > 1:
        parts.append("splits " + ", ".join(f"{name} ({number:,})" for name, number in info.splits.items()))
    said = f"{info.name} ({info.id}): {', '.join(parts)}."
    if info.skipped_rows:
        said += f" {many(info.skipped_rows, 'row')} of the upload could not be used."
    made = info.lineage
    if made is not None:
        changes = f"{many(made.relabelled, 'label')} changed, {many(made.removed, 'sample')} removed"
        said += f" It is a corrected version of {made.parent} by the {made.applied} of {made.job}: {changes}."
    return said


def _classes(names: Sequence[str]) -> str:
    return "1 class" if len(names) == 1 else f"{len(names):,} classes"


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
        return "None: what models said of samples that they had not seen."
    if facts.dataset.recording is not None:
        return f"Somebody else's: {many(training.epochs, 'checkpoint')} were recorded."
    rate = facts.result["model"].get("learning_rate") or training.learning_rate
    ran = len(facts.course) or training.epochs
    epochs = many(ran, "epoch") if ran >= training.epochs else f"{ran} of {many(training.epochs, 'epoch')}"
    said = [
        f"{epochs} of {training.optimizer}, batches of {training.batch_size}",
        f"learning rate {rate:g}{' (found by short runs)' if training.find_learning_rate else ''}",
        f"{training.schedule} schedule",
        *_options(facts.job.spec),
        f"seed {training.seed}",
    ]
    return ", ".join(said)


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
    layers = spec.influence.layers
    told = _LAYERS.get(layers, layers) if isinstance(layers, str) else ", ".join(layers)
    kept = spec.training.checkpoints
    scored = "every epoch's end" if kept == "all" else f"the ends of {many(kept, 'epoch')}"
    return f"TracIn with the gradients of {told}, at {scored}" + (
        f", in random projections of {spec.influence.dimension} numbers" if spec.influence.estimator != "tracin" else ""
    )


def _reference(facts: Facts) -> str:
    reference = facts.job.spec.reference
    if reference is None:
        return "None: the training samples themselves, of which nobody has verified any."
    trust = "verified by people" if reference.is_trusted else "not verified"
    return f"{_chosen(reference, facts)}, {trust}."


def _chosen(reference: Reference, facts: Facts) -> str:
    if reference.split is not None:
        return f"The split {reference.split}, {many(facts.dataset.splits.get(reference.split, 0), 'sample')}"
    if reference.samples is not None:
        return f"{many(len(reference.samples), 'sample')} by name"
    if reference.holdout is not None:
        return f"{100 * reference.holdout:g}{PERCENT} of the training part, held out"
    known = "" if facts.reference is None else f" {facts.reference.name}, {many(facts.reference.rows, 'sample')}"
    return f"The dataset{known} ({reference.dataset})"


def _time(facts: Facts) -> str:
    spent = [
        f"{name.removesuffix('_s').replace('_', ' ')} {seconds:.1f} s"
        for name, seconds in facts.result["timings"].items()
    ]
    ended = facts.job.finished_at
    return ", ".join(spent) + (f"; finished {ended:%Y-%m-%d %H:%M} UTC" if ended else "")
