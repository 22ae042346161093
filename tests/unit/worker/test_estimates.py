"""Estimates, their reasons, and the cures that warnings offer."""

from typing import get_args
from unittest.mock import Mock

import pytest
import torch

from service.domain.dataset import Modality, WarningAction
from service.domain.models import AUTO, MODELS
from service.domain.resolve import resolve
from service.domain.specs import JobRequest, JobSpec
from tests.builders import dataset_info, job_spec
from worker.job import actions, estimates
from worker.job.preparation import JobSamples
from worker.job.warnings import ranking_warnings
from worker.signals.counts import CountEstimate
from worker.signals.doubts import Cause, Doubt
from worker.signals.dynamics import learning_dynamics
from worker.signals.measurements import Answers

TRAINED: tuple[Modality, ...] = ("tabular", "image", "text", "embedding")


def spec_of(modality: Modality, **options: object) -> JobSpec:
    return job_spec(dataset_info(modality=modality), **options)


def again(spec: JobSpec, action: WarningAction | None) -> JobSpec:
    """What POST /jobs makes of the job's spec and the changes of an action."""
    assert action is not None
    assert action.changes is not None
    request = {**spec.model_dump(mode="json", exclude={"source", "fallback", "webhook", "loop"}), **action.changes}
    modality = next(name for name, model in AUTO.items() if MODELS[model].modality == MODELS[spec.model.name].modality)
    return resolve(JobRequest.model_validate(request), dataset_info(modality=modality))


@pytest.mark.parametrize("cause", get_args(Cause))
def test_a_doubt_is_unknown_and_says_why_and_what_would_help(cause: Cause) -> None:
    found = estimates.estimate_view(CountEstimate(7, 0, 90, Doubt(cause, 1234)), 5000, "mlp")
    assert found["status"] == "unknown"
    assert found["count"] == 7
    assert any(cure in found["reason"] for cure in ("Verify", "Review", "Upload"))
    assert not any(word in found["reason"] for word in ("GET ", "POST ", "reference.", "`"))


def test_a_count_without_doubt_is_rough_and_needs_no_reason() -> None:
    told = estimates.estimate_view(CountEstimate(70, 40, 90), 5000, "mlp")
    assert told == {"status": "rough", "count": 70, "low": 40, "high": 90, "reason": None}


def test_a_model_that_learnt_too_little_is_followed_by_a_better_one_by_name() -> None:
    spec = spec_of("tabular", model={"name": "mlp"}, training={"seed": 3, "learning_rate": 9.0})
    action = actions.with_better_model(spec)
    assert action is not None
    assert (action.kind, action.model, action.label) == ("rerun_with_model", "tabm", "Run again with TabM")
    following = again(spec, action)
    # With its own options: those of another model may be what went wrong.
    assert following.model.name == "tabm"
    assert following.training.seed == 3
    assert following.training.learning_rate == resolve_default("tabm")


def resolve_default(model: str) -> float:
    return spec_of("tabular", model={"name": model}).training.learning_rate


@pytest.mark.parametrize("modality", TRAINED)
def test_every_offered_model_exists_and_is_installed(modality: Modality, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (name for name, model in MODELS.items() if model.modality == modality):
        offered = estimates.next_model(name)
        assert offered is None or MODELS[offered].modality == modality
        assert offered != name
    monkeypatch.setattr(estimates, "find_spec", lambda _package: None)
    assert estimates.next_model("small_cnn") == "resnet18"
    assert estimates.next_model("text_cnn") == "text_transformer"
    assert estimates.next_model("resnet18") is None


@pytest.mark.parametrize("modality", TRAINED)
def test_the_changes_of_an_action_make_a_job_that_is_taken(modality: Modality) -> None:
    spec = spec_of(modality, reference={"split": "test"})
    assert again(spec, actions.with_more_epochs(spec)).training.epochs == 2 * spec.training.epochs
    assert again(spec, actions.with_all_columns(spec, 3000)).influence.columns == 3000
    held = again(spec, actions.with_holdout(spec)).reference
    assert held is not None
    assert held.holdout == 0.2
    if estimates.next_model(spec.model.name) is not None:
        assert again(spec, actions.with_better_model(spec)).model.name != spec.model.name


def test_no_click_is_offered_that_would_not_help() -> None:
    assert actions.with_all_columns(spec_of("tabular"), 1_000_000) is None
    assert actions.with_holdout(spec_of("tabular")) is None
    assert actions.with_better_model(spec_of("tabular", model={"name": "tabm"})) is None


def test_samples_to_verify_become_the_reference() -> None:
    action = actions.verify(50)
    assert (action.kind, action.count, action.label) == ("verify", 50, "Verify 50 samples")
    assert action.changes == {"reference": {"verified": True}}


@pytest.mark.parametrize(
    ("accuracy", "code"), [(0.52, "learnt_nothing"), (0.56, "learnt_little"), (0.64, "learnt_little"), (0.66, None)]
)
def test_what_a_model_learnt_is_measured_from_the_commonest_class_on(accuracy: float, code: str | None) -> None:
    labels = torch.arange(400) % 2  # half of them the commonest class
    margin = torch.where(torch.arange(400) < 400 * accuracy, 1.0, -1.0)
    logits = torch.eye(2)[labels] * margin[:, None]
    answers = Answers(labels=labels, dynamics=learning_dynamics(logits.expand(4, -1, -1), labels))
    prepared = Mock(spec=JobSamples, classes=["cat", "dog"], columns=None, groups=None, tied=())
    spec = spec_of("tabular", model={"name": "mlp"})
    told = {one.code: one for one in ranking_warnings(prepared, answers, spec, accuracy, CountEstimate(0, 0, 0))}
    assert set(told) == ({code} if code else set())
    if code:
        action = told[code].action
        assert action is not None
        assert action.model == "tabm"
        assert "TabM (tabm)" in told[code].detail
