"""A report says in words what was run and found, and no more than is known."""

from dataclasses import replace
from typing import Any

import pytest

from service.domain.dataset import Lineage, Recording
from service.domain.precision import ReviewedShare
from service.domain.specs import Reference
from service.report.account import describe_job
from service.report.deviations import Deviation
from service.report.facts import Epoch, Facts
from service.report.summary import anomaly_note, answer, decided, first_notices, in_brief, main_figures, notices, steps
from service.report.wording import cells, sure
from tests.builders import dataset_info


def with_result(
    facts: Facts, mislabeled: dict[str, Any], anomalous: dict[str, Any], *warnings: dict[str, Any]
) -> Facts:
    estimates = {"mislabeled": mislabeled, "anomalous": anomalous}
    return replace(facts, result={**facts.result, "estimates": estimates, "warnings": list(warnings)})


def estimate(count: int, low: float | None, high: float | None, **more: str) -> dict[str, Any]:
    return {"count": count, "low": low, "high": high, **more}


NONE = estimate(0, 0, 0)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (estimate(2, 1, 3), ("Rough estimate", "About 2 of 9 labels look wrong", "Likely between 1 and 3.")),
        (estimate(1, None, None), ("Rough estimate", "About 1 of 9 labels looks wrong", "")),
        (estimate(0, 0, 3), ("Rough estimate", "No label looks wrong", "Likely between 0 and 3.")),
        (
            estimate(2, 1, 3, status="measured"),
            (
                "Measured",
                "About 2 of 9 labels are wrong",
                "Your reviewers would call between 1 and 3 wrong, by what they said of samples that were drawn by chance.",
            ),
        ),
        (
            estimate(1, 1, 1, status="measured"),
            (
                "Measured",
                "About 1 of 9 labels is wrong",
                "Your reviewers would call 1 wrong, by what they said of samples that were drawn by chance.",
            ),
        ),
    ],
)
def test_a_number_is_said_with_its_range_and_how_well_it_is_known(
    facts: Facts, found: dict[str, Any], words: tuple[str, str, str]
) -> None:
    said = answer(with_result(facts, found, NONE))
    assert (said.status, said.headline, said.detail) == words
    assert said.cure == ""


def test_a_range_of_half_the_data_is_no_answer_and_has_a_cure(facts: Facts) -> None:
    said = answer(with_result(facts, estimate(0, 0, 5), NONE))
    assert said.headline == "Cannot tell how many labels are wrong"
    assert "between 0 and 5 of 9 labels" in said.detail
    assert "150 verified samples" in said.cure
    assert not said.adds_status


def test_a_reason_says_itself_how_many_samples_to_verify_and_no_other_number_stands_beside_it(facts: Facts) -> None:
    reason = "Between none and about 5 may be wrong. Verify at least 150 samples and rank again."
    unknown = estimate(0, 0, 5, status="unknown", reason=reason)
    verify = {"kind": "verify", "label": "Verify 50 samples", "count": 50}
    warning = {"code": "rough_estimate", "detail": "What helps: 150 verified samples.", "action": verify}
    other = {"code": "no_trusted_reference", "detail": "x", "action": verify}
    unsure = with_result(facts, unknown, NONE, warning, other)
    said = answer(unsure)
    assert (said.detail, said.cure) == (reason, "")
    assert {one.code: one.action for one in notices(unsure)} == {
        "rough_estimate": "",
        "no_trusted_reference": "Verify 50 samples to improve the ranking.",
    }


def test_without_an_answer_no_label_is_called_fine(facts: Facts) -> None:
    unknown = with_result(facts, estimate(0, 0, 5), NONE)
    assert (unknown.shown("clean"), unknown.shown("anomalous")) == ("not_judged", "anomalous")
    assert with_result(facts, estimate(0, 0, 1), NONE).shown("clean") == "clean"
    numbers = {one.name: one.value for one in main_figures(replace(unknown, verdicts={"clean": 9}))}
    assert numbers["Labels that look wrong"] == "not judged"


@pytest.mark.parametrize(
    ("code", "note"),
    [
        ("no_trusted_reference", "that needs 150 verified samples; none is verified"),
        ("small_trusted_reference", "that needs 150 verified samples; none is verified"),
        ("no_features", "that needs features"),
    ],
)
def test_what_was_not_counted_is_not_called_none(facts: Facts, code: str, note: str) -> None:
    bare = replace(with_result(facts, NONE, NONE, {"code": code, "detail": ""}), verdicts={"clean": 9})
    numbers = {one.name: (one.value, one.note) for one in main_figures(bare)}
    assert numbers["Look unlike their class"] == ("not judged", note)


@pytest.mark.parametrize(
    ("verified", "reference", "rescored_by", "note"),
    [
        (1, None, None, "that needs 150 verified samples; 1 is verified"),
        (29, None, 29, "that needs 150 verified samples; 29 are verified"),
        (29, Reference(samples=["a", "b"]), 31, "that needs 150 verified samples; 31 are verified"),
        (29, Reference(samples=["a", "b"], trusted=True), None, "that needs 150 verified samples; 31 are verified"),
        (160, Reference(holdout=0.5), 29, "160 samples are verified by now: score the samples again"),
        (160, None, 160, "the number cannot be told"),
    ],
)
def test_what_is_not_judged_says_how_many_verified_samples_there_are_and_how_many_it_needs(
    facts: Facts, verified: int, reference: Reference | None, rescored_by: int | None, note: str
) -> None:
    reviewed = rescored(facts, verified, reference, rescored_by)
    unknown = estimate(0, 0, 9, status="unknown", reason="x")
    bare = replace(with_result(reviewed, NONE, unknown), verdicts={"clean": 9})
    numbers = {one.name: (one.value, one.note) for one in main_figures(bare)}
    assert numbers["Look unlike their class"] == ("not judged", note)
    assert anomaly_note(bare) == f"These are ranked, not judged: {note}."


def test_reviews_of_samples_without_a_flag_count_and_those_of_flagged_ones_are_named_so(facts: Facts) -> None:
    def told(samples: int, every: tuple[int, int], flagged: tuple[int, int]) -> str:
        shares = [
            ReviewedShare(decided=decided, wrong=wrong, precision=None, low=None, high=None)
            for wrong, decided in (every, flagged)
        ]
        return decided(replace(facts.reviewed, samples=samples, every=shares[0], flagged=shares[1]))

    assert told(3, (0, 0), (0, 0)) == ""
    assert told(29, (1, 29), (0, 2)) == "1 of 29 reviewed was wrong; 0 of the 2 flagged ones among them"
    assert told(40, (0, 38), (0, 0)) == "0 of 38 decided were wrong; none of them is flagged"
    assert told(4, (2, 4), (2, 4)) == "2 of 4 reviewed were wrong"


def rescored(facts: Facts, verified: int, reference: Reference | None, by: int | None) -> Facts:
    """A job with this reference, scored again by so many verified samples."""
    job = facts.job.model_copy(update={"spec": facts.job.spec.model_copy(update={"reference": reference})})
    told = None if by is None else {"version": 1, "samples": by}
    return replace(facts, job=job, verified=verified, result={**facts.result, "rescored": told})


@pytest.mark.parametrize(
    ("verified", "reference", "by", "words"),
    [
        (
            29,
            None,
            29,
            (
                "29 samples that people have verified since, by which the samples were scored again. The job itself had: the "
                "training samples, not verified."
            ),
        ),
        (
            12,
            Reference(holdout=0.25),
            12,
            (
                "12 samples that people have verified since, by which the samples were scored again. The job itself had: "
                "25\N{NO-BREAK SPACE}% of the training part, held out, not verified."
            ),
        ),
        (
            12,
            Reference(samples=["a", "b"]),
            14,
            (
                "14 samples that people have verified, by which the samples were scored again. Among them: 2 samples by name, "
                "verified by people."
            ),
        ),
        (
            1,
            None,
            None,
            (
                "None: the training samples serve as the reference. 1 ranked sample is verified by now; scoring again would "
                "use that."
            ),
        ),
    ],
)
def test_the_reference_is_that_of_the_last_scoring(
    facts: Facts, verified: int, reference: Reference | None, by: int | None, words: str
) -> None:
    assert dict(describe_job(rescored(facts, verified, reference, by)))["Reference"] == words


def test_the_main_numbers_are_those_of_the_result(facts: Facts) -> None:
    model = {"train_accuracy": 0.9, "reference_accuracy": 0.75}
    measured = replace(facts, result={**facts.result, "model": model})
    shown = {one.name: (one.value, one.note) for one in main_figures(measured)}
    assert shown["Examined"] == ("9", "of 12 rows in animals")
    assert shown["Labels that look wrong"][0] == f"{facts.verdicts['mislabeled']}"
    assert shown["The model is right"] == ("75.0\N{NO-BREAK SPACE}%", "on the reference")
    assert {one.name: one.value for one in main_figures(facts)}["The model is right"] == "90.0\N{NO-BREAK SPACE}%"


def test_the_steps_lead_from_where_the_job_is(facts: Facts) -> None:
    def commands(changed: Facts) -> list[str]:
        return [step.command.split()[1] for step in steps(changed)]

    assert commands(facts) == ["verify-next", "suspects", "rerun"]
    done = replace(facts, reviewed=replace(facts.reviewed, samples=2, pending=0))
    assert commands(done) == ["verify-next", "corrected", "rerun"]
    spec = facts.job.spec.model_copy(update={"reference": Reference(split="test")})
    trusted = replace(done, job=facts.job.model_copy(update={"spec": spec}))
    assert commands(trusted) == ["corrected", "rerun"]
    assert commands(replace(done, verified=150)) == ["corrected", "rerun"]
    assert "So far 29 are verified." in steps(replace(done, verified=29))[0].detail


def test_the_summary_says_of_a_warning_what_to_do(facts: Facts) -> None:
    told = with_result(
        facts,
        NONE,
        NONE,
        {"code": "rough_estimate", "detail": "x"},
        {"code": "few_samples", "detail": "There are few samples (GET /jobs/{id}/signals lists them). More follows."},
        {"code": "b", "title": "A title", "detail": "y", "action": {"label": "Do this."}},
    )
    first, second = first_notices(told)
    assert (first.title, in_brief(first)) == ("Few samples", "There are few samples.")
    assert (second.title, in_brief(second)) == ("A title", "Do this.")
    assert [one.code for one in notices(told)] == ["rough_estimate", "few_samples", "b"]


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
    assert cells("text", {"text": "<b> words"}) == [("", "<b> words", "")]
    assert cells("image", {"path": "a.png", "width": 8, "height": 4}) == [("size", "8 x 4", "")]
    for modality in ("trace", "predictions"):
        assert cells(modality, {"model_says": "dog"}) == [("prediction", "dog", "")]
    assert cells("embedding", {"v": [0.125, 1 / 3], "dimensions": 384}) == [
        ("v", "0.125, 0.33333, … (384 numbers)", "")
    ]
    row = {"age": 39.0, "job": None, "ok": True, "when": "2024-01-01", **{f"f{i}": i for i in range(8)}}
    shown = [(cell.name, cell.text) for cell in cells("tabular", row)]
    assert shown[:4] == [("age", "39"), ("job", "missing"), ("ok", "yes"), ("when", "2024-01-01")]
    assert len(shown) == 7


def test_values_that_deviate_come_first_and_once() -> None:
    odd = [Deviation("pay", 145_574.0, 0.01, "higher than 99 % of no"), Deviation("age", 90, 0.02, "1 % of no")]
    shown = cells("tabular", {"age": 90, "job": "a"}, odd)
    assert shown == [("pay", "145574", "higher than 99 % of no"), ("age", "90", "1 % of no"), ("job", "a", "")]


def test_nothing_is_said_to_be_certain() -> None:
    assert [sure(value) for value in (0.314, 0.994, 1.0)] == [
        f"{n}\N{NO-BREAK SPACE}%" for n in ("31", "99", "over 99")
    ]
