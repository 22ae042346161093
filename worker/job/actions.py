"""Actions of warnings: what one click can do, ready for a button."""

from typing import Any

from service.domain.dataset import WarningAction
from service.domain.models import MODELS
from service.domain.specs import JobSpec
from worker.job.estimates import next_model

_MOST_COLUMNS = 20_000  # rows: all pairs of more take long


def verify(count: int) -> WarningAction:
    """People verify samples, which then serve as reference."""
    changes = {"reference": {"verified": True}}
    return WarningAction(kind="verify", label=f"Verify {count} samples", count=count, changes=changes)


def review() -> WarningAction:
    """People look at the top of the ranking."""
    return WarningAction(kind="review", label="Review the top of the ranking")


def with_better_model(spec: JobSpec) -> WarningAction | None:
    """Another training, of a better model with its own options; None where the installation has none."""
    name = next_model(spec.model.name)
    if name is None:
        return None
    changes = {"model": {"name": name}, "training": {"seed": spec.training.seed}}
    label = f"Run again with {MODELS[name].title}"
    return WarningAction(kind="rerun_with_model", label=label, model=name, changes=changes)


def with_pretrained(spec: JobSpec) -> WarningAction:
    """Another training that looks for a pretrained network again."""
    changes = {"model": {"name": "auto"}, "training": {"seed": spec.training.seed}}
    label = "Run again, once a pretrained network is installed"
    return WarningAction(kind="rerun", label=label, changes=changes)


def with_more_epochs(spec: JobSpec) -> WarningAction | None:
    """A training twice as long; None where nothing is trained here."""
    model = MODELS.get(spec.model.name)
    if model is None or model.training is None:
        return None
    epochs = min(2 * spec.training.epochs, 10_000)
    return _again(f"Run again with {epochs} epochs", "training", {**spec.training.model_dump(), "epochs": epochs})


def with_new_head(spec: JobSpec) -> WarningAction:
    """The same weights with a last layer that begins anew."""
    model = {"name": spec.model.name, "params": {**spec.model.params, "head": "new"}}
    return _again("Run again with a new last layer", "model", model)


def with_all_columns(spec: JobSpec, samples: int) -> WarningAction | None:
    """Exact sums over all pairs; None where these are too many for one click."""
    if samples > _MOST_COLUMNS:
        return None
    influence = {**spec.influence.model_dump(), "columns": samples}
    return _again("Run again with every sample as reference", "influence", influence)


def with_holdout(spec: JobSpec) -> WarningAction | None:
    """A part held out of the training in whole groups; None where other samples are the reference on purpose."""
    if spec.reference is None or spec.reference.split is None:
        return None
    return _again("Run again with whole groups held out", "reference", {"holdout": 0.2})


def _again(label: str, field: str, value: dict[str, Any]) -> WarningAction:
    return WarningAction(kind="rerun", label=label, changes={field: value})
