"""Job options to a job spec: every default is filled in, and options that do not fit are refused by their field."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from service.domain.auto import SEARCHED, default_model, fallback_model
from service.domain.dataset import DatasetInfo, Frozen, Modality
from service.domain.errors import FieldError, invalid, invalid_fields
from service.domain.json_values import of_json
from service.domain.models import MODELS, Model, TrainingDefaults
from service.domain.models.uploaded import StateParams
from service.domain.signal import SIGNALS
from service.domain.specs import (
    Fallback,
    Influence,
    JobOptions,
    JobSpec,
    ModelRequest,
    Reference,
    Training,
    TrainingRequest,
)

_LISTED = 10  # unknown names in a message
_CHECKPOINTS = 8  # of those of 15 and of 60 epochs they found planted errors as well as all, at half the cost and less

_FROZEN = (
    "every epoch would see other images, but the frozen part of the model is run once; leave augmentation out, or set "
    "model.params.trainable_blocks to all"
)


def resolve(request: JobOptions, dataset: DatasetInfo) -> JobSpec:
    """Fill in every default for a dataset. Raises `Invalid` naming the field.

    The caller checks reference datasets and sample ids.
    """
    model, model_request = _resolve_model(request, dataset)
    if model.trees:
        _refuse_what_trees_lack(request)
    signals = _resolve_signals(request.signals, dataset, trees=model.trees)
    if request.training.augmentation != "none" and dataset.modality != "image":
        raise invalid(["training", "augmentation"], f"for images only; this is {dataset.modality} data")
    if (
        request.training.augmentation != "none"
        and model.has_front
        and model_request.params["trainable_blocks"] != "all"
    ):
        raise invalid(["training", "augmentation"], _FROZEN)
    training = _resolve_training(request, model, model_request.params, dataset)
    if isinstance(training.checkpoints, int) and training.checkpoints > training.epochs:
        raise invalid(["training", "checkpoints"], f"more than the {training.epochs} epochs")
    return JobSpec(
        dataset=dataset.id,
        reference=_resolve_reference(request.reference, dataset),
        model=model_request,
        training=training,
        influence=request.influence,
        signals=signals,
        glitches=request.glitches,
        loop=request.loop,
        webhook=None if request.webhook is None else request.webhook.shown(),
        name=request.name or dataset.name,
        priority=request.priority,
        fallback=_resolve_fallback(request, model, dataset),
    )


def _resolve_model(options: JobOptions, dataset: DatasetInfo) -> tuple[Model, ModelRequest]:
    request = options.model
    fitting = [model.name for model in MODELS.values() if model.fits(dataset.modality)]
    if not fitting:
        raise invalid(
            ["dataset"], f"no model for {dataset.modality} data is built yet; the list of models says what there is"
        )
    name, chosen = default_model(dataset, options) if request.name == "auto" else (request.name, {})
    if name not in fitting:
        raise invalid(["model", "name"], f"not a model for {dataset.modality} data; one of auto, {', '.join(fitting)}")
    model = MODELS[name]
    params = _params(model, {**chosen, **request.params})
    if isinstance(params, StateParams):
        model, params = _resolve_architecture(params, dataset)
    return model, ModelRequest(name=name, params=params.model_dump())


def _resolve_fallback(request: JobOptions, model: Model, dataset: DatasetInfo) -> Fallback | None:
    name = fallback_model(model.name, request.model.params) if request.model.name == "auto" else None
    if name is None:
        return None
    other = MODELS[name]
    params = _params(other, request.model.params).model_dump()
    training = _resolve_training(request, other, params, dataset)
    if training.checkpoints != "all":
        training = training.model_copy(update={"checkpoints": min(training.checkpoints, training.epochs)})
    return Fallback(model=ModelRequest(name=name, params=params), training=training)


def _params(model: Model, given: dict[str, Any], *within: str) -> Frozen:
    try:
        return of_json(model.params, given)
    except ValidationError as error:
        place = ["model", "params", *within]
        raise invalid_fields(
            [FieldError(loc=[*place, *fault["loc"]], msg=fault["msg"]) for fault in error.errors()]
        ) from error


def _resolve_architecture(given: StateParams, dataset: DatasetInfo) -> tuple[Model, StateParams]:
    """The model whose uploaded weights are trained on, and the parameters with its own filled in."""
    fitting = {
        one.name: one
        for one in MODELS.values()
        if one.modality == dataset.modality and not one.pretrained and not one.trees
    }
    model = fitting.get(given.architecture)
    if model is None:
        names = ", ".join(fitting)
        raise invalid(["model", "params", "architecture"], f"for {dataset.modality} data one of {names}")
    return model, given.model_copy(update={"params": _params(model, given.params, "params").model_dump()})


def _resolve_reference(reference: Reference | None, dataset: DatasetInfo) -> Reference | None:
    if reference is None:
        return None
    if reference.split is not None and reference.split not in dataset.splits:
        raise invalid(["reference", "split"], f"no such split; the dataset has {', '.join(sorted(dataset.splits))}")
    if reference.split == "train":
        raise invalid(["reference", "split"], "this is the part to be ranked; name another split or a holdout")
    return reference.model_copy(update={"trusted": reference.is_trusted})


@dataclass(frozen=True)
class _Untrained:
    """Why nothing is trained, which training options can be set all the same, and what to do instead of the others."""

    why: str
    settable: tuple[str, ...]
    glitches: str
    influence: str
    reference: str


_UNTRAINED: dict[Modality, _Untrained] = {
    "trace": _Untrained(
        why="this training was recorded elsewhere and is not run again",
        settable=("seed", "checkpoints"),
        glitches="plant errors before you train, and compare the ranking with them",
        influence="only what enters and leaves the last layer is known",
        reference="record the reference with it and name it as split, or name samples",
    ),
    "predictions": _Untrained(
        why="these are predictions, and nothing is trained",
        settable=("seed",),
        glitches="plant errors before you predict, and compare the ranking with them",
        influence="there is no layer but the one that `features` would enter",
        reference="upload it with them, as reference_labels, reference_pred_probs …, and name it as split, or name samples",
    ),
}


def _refuse_what_needs_training(request: JobOptions, dataset: DatasetInfo) -> None:
    """Raise Invalid naming each option that has no meaning where nothing is trained."""
    reasons = _UNTRAINED[dataset.modality]
    plain = TrainingRequest(**{name: getattr(request.training, name) for name in reasons.settable})
    faults: list[tuple[list[str | int], str]] = [
        (["training", name], f"{reasons.why}; of training only {' and '.join(reasons.settable)} can be set")
        for name in TrainingRequest.model_fields
        if getattr(request.training, name) != getattr(plain, name)
    ]
    if request.glitches is not None:
        faults.append((["glitches"], f"{reasons.why}; {reasons.glitches}"))
    if request.loop is not None:
        faults.append((["loop"], reasons.why))
    faults += [
        (["influence", name], f"{reasons.why}; {reasons.influence}")
        for name in ("layers", "estimator", *(["columns"] if dataset.is_bare else []))
        if getattr(request.influence, name) != getattr(Influence(), name)
    ]
    faults += [
        (["reference", name], f"{reasons.why}; {reasons.reference}")
        for name in ("holdout", "dataset")
        if request.reference is not None and getattr(request.reference, name) is not None
    ]
    if faults:
        raise invalid_fields([FieldError(loc=loc, msg=msg) for loc, msg in faults])


_OF_TREES = ("epochs", "learning_rate", "early_stopping", "seed")


def _refuse_what_trees_lack(request: JobOptions) -> None:
    """Raise Invalid naming each option that has no meaning for boosted trees."""
    plain = TrainingRequest(**{name: getattr(request.training, name) for name in _OF_TREES})
    faults: list[tuple[list[str | int], str]] = [
        (["training", name], f"trees are grown, not trained by steps; for them only {', '.join(_OF_TREES)} can be set")
        for name in TrainingRequest.model_fields
        # `find_learning_rate` may be false: no rate is looked for.
        if getattr(request.training, name) not in (getattr(plain, name), False)
    ]
    faults += [
        (["influence", name], "trees have leaves instead of layers; of influence only columns can be set")
        for name in ("layers", "estimator", "dimension", "precision")
        if getattr(request.influence, name) != getattr(Influence(), name)
    ]
    if faults:
        raise invalid_fields([FieldError(loc=loc, msg=msg) for loc, msg in faults])


def _not_trained(dataset: DatasetInfo) -> TrainingDefaults:
    """Training options of a recorded training, one epoch a checkpoint, or of predictions, one step."""
    if dataset.modality == "predictions":
        return TrainingDefaults(epochs=1, learning_rate=1.0)
    if dataset.recording is None:
        raise ValueError(f"{dataset.id} is a recorded training without its recording")
    rates = dataset.recording.learning_rates
    return TrainingDefaults(epochs=len(rates), learning_rate=rates[0])


def _resolve_signals(names: list[str] | None, dataset: DatasetInfo, *, trees: bool) -> list[str]:
    unknown = [name for name in names or () if name not in SIGNALS]
    if unknown:
        more = f" and {len(unknown) - _LISTED} more" if len(unknown) > _LISTED else ""
        raise invalid(
            ["signals"], f"unknown: {', '.join(unknown[:_LISTED])}{more}; the list of signals has those that there are"
        )
    if trees:
        unsuited = {name: signal.unsuited_for_trees() for name, signal in SIGNALS.items()}
    elif dataset.modality == "predictions":
        unsuited = {name: signal.unsuited(features=not dataset.is_bare) for name, signal in SIGNALS.items()}
    else:
        unsuited = {name: signal.unsuited_for_networks() for name, signal in SIGNALS.items()}
    faults: list[tuple[list[str | int], str]] = [
        (["signals", place], f"{name}: {unsuited[name]}")
        for place, name in enumerate(names or ())
        if unsuited[name] is not None
    ]
    if faults:
        raise invalid_fields([FieldError(loc=loc, msg=msg) for loc, msg in faults])
    return names or [name for name, why in unsuited.items() if why is None]


def _resolve_training(request: JobOptions, model: Model, params: Mapping[str, Any], dataset: DatasetInfo) -> Training:
    defaults = model.defaults(params)
    if defaults is None:
        _refuse_what_needs_training(request, dataset)
        defaults = _not_trained(dataset)
    given = request.training.model_dump(exclude_none=True)
    epochs = request.training.epochs or defaults.epochs
    searched = (
        request.model.name == "auto"
        and dataset.modality in SEARCHED
        and not model.trees
        and "learning_rate" not in given
    )
    return Training.model_validate(
        {
            "checkpoints": "all" if model.trees else min(_CHECKPOINTS, epochs),
            "find_learning_rate": searched,
            **defaults.model_dump(),
            **given,
        }
    )
