"""A report says in words what was run and found, and no more than is known."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.dataset import Lineage, Recording
from service.domain.specs import Reference
from service.report.account import describe_job
from service.report.facts import Epoch, Facts
from service.report.wording import cards, cells, findings
from tests.builders import dataset_info


def found(facts: Facts, mislabeled: tuple[Any, Any, Any], anomalous: tuple[Any, Any, Any], *codes: str) -> list[str]:
    names = ("count", "low", "high")
    estimates = {
        "mislabeled": dict(zip(names, mislabeled, strict=True)),
        "anomalous": dict(zip(names, anomalous, strict=True)),
    }
    warnings = [{"code": code, "detail": ""} for code in codes]
    return findings(replace(facts, result={**facts.result, "estimates": estimates, "warnings": warnings}))


def test_estimates_are_told_with_their_intervals(facts: Facts) -> None:
    assert found(facts, (2, 1, 3), (1, 0, 4)) == [
        "About 2 of 9 labels look wrong (between 1 and 3).",
        "About 1 of 9 samples looks anomalous (between 0 and 4).",
    ]
    assert found(facts, (2, None, None), (0, 0, 0)) == [
        "About 2 of 9 labels look wrong.",
        "No sample is called anomalous.",
    ]
    assert found(facts, (0, 0, 3), (0, 0, 2)) == [
        "No label is called wrong; up to 3 may be.",
        "No sample is called anomalous; up to 2 may be.",
    ]


@pytest.mark.parametrize("code", ["no_trusted_reference", "small_trusted_reference"])
def test_what_was_not_counted_is_not_called_none(facts: Facts, code: str) -> None:
    told = found(facts, (2, 1, 3), (0, 0, 0), code)
    assert told[1].startswith("Anomalies are ranked but not counted")


def test_the_cards_have_the_numbers_of_the_result(facts: Facts) -> None:
    model = {"train_accuracy": 0.9, "reference_accuracy": 0.75}
    shown = {
        name: (value, note) for name, value, note in cards(replace(facts, result={**facts.result, "model": model}))
    }
    assert shown["Wrong labels, estimated"] == ("2", "between 1 and 3")
    assert shown["Flagged as mislabeled"][0] == f"{facts.verdicts['mislabeled']}"
    assert shown["Accuracy on the reference"][0] == "75.0\N{NO-BREAK SPACE}%"
    assert "Accuracy on the reference" not in {name for name, _, _ in cards(facts)}


def told(facts: Facts, part: str, **changes: Any) -> str:
    """One part of the account, after changes of the job's spec."""
    job = facts.job.model_copy(update={"spec": facts.job.spec.model_copy(update=changes)})
    return dict(describe_job(replace(facts, job=job)))[part]


@pytest.mark.parametrize(
    ("reference", "words"),
    [
        (None, "None: the training samples serve as the reference, and nobody has verified them."),
        (Reference(split="test"), "The split test, 3 samples, verified by people."),
        (Reference(split="test", trusted=False), "The split test, 3 samples, not verified."),
        (Reference(samples=["a", "b"]), "2 samples by name, verified by people."),
        (Reference(holdout=0.25), "25\N{NO-BREAK SPACE}% of the training part, held out, not verified."),
        (Reference(dataset="ds_9"), "The dataset gold, 1 sample (ds_9), verified by people."),
    ],
)
def test_the_reference_is_told_with_whether_people_verified_it(
    facts: Facts, reference: Reference | None, words: str
) -> None:
    gold = dataset_info("ds_9").model_copy(update={"name": "gold", "rows": 1})
    assert told(replace(facts, reference=gold), "Reference", reference=reference) == words


def test_a_training_that_ended_early_says_how_far_it_came(facts: Facts) -> None:
    training = facts.job.spec.training.model_copy(
        update={"epochs": 60, "find_learning_rate": True, "schedule": "cosine"}
    )
    epochs = [Epoch(number, 1.0, 0.5) for number in range(1, 24)]
    result = {**facts.result, "model": {**facts.result["model"], "learning_rate": 0.08}}
    words = told(replace(facts, epochs=epochs, result=result), "Training", training=training)
    assert words.startswith("23 of 60 epochs of sgd, batches of ")
    assert "learning rate 0.08 (found by short runs), cosine schedule" in words


def test_a_recorded_training_is_somebody_elses(facts: Facts) -> None:
    recording = Recording(epochs=[3, 7], learning_rates=[0.1, 0.1], width=4, shared=False)
    dataset = facts.dataset.model_copy(update={"recording": recording, "modality": "trace"})
    training = facts.job.spec.training.model_copy(update={"epochs": 2})
    words = told(replace(facts, dataset=dataset), "Training", training=training)
    assert words == "Recorded elsewhere, at 2 checkpoints."


def test_a_corrected_dataset_says_what_it_was_made_of(facts: Facts) -> None:
    made = Lineage(parent="ds_0", job="job_0", applied="reviews", relabelled=3, removed=1, verified=5)
    dataset = facts.dataset.model_copy(update={"lineage": made})
    words = dict(describe_job(replace(facts, dataset=dataset)))["Dataset"]
    assert "a table of 12 rows, 3 classes, 2 features (1 numeric, 1 categorical), splits train (9), test (3)." in words
    assert "corrected version of ds_0 by the reviews of job_0: 3 labels changed, 1 sample removed." in words


def test_every_kind_of_sample_shows_something_of_itself() -> None:
    assert cells("text", {"text": "<b> words"}) == [("", "<b> words")]
    assert cells("image", {"path": "a.png", "width": 8, "height": 4}) == [("size", "8 x 4")]
    for modality in ("trace", "predictions"):
        assert cells(modality, {"model_says": "dog"}) == [("prediction", "dog")]
    assert cells("embedding", {"v": [0.125, 1 / 3], "dimensions": 384}) == [("v", "0.125, 0.33333, … (384 numbers)")]
    row = {"age": 39.0, "job": None, "ok": True, "when": "2024-01-01", **{f"f{i}": i for i in range(8)}}
    assert cells("tabular", row)[:4] == [("age", "39"), ("job", "missing"), ("ok", "yes"), ("when", "2024-01-01")]
    assert len(cells("tabular", row)) == 6
