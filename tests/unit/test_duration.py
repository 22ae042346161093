"""How long a job takes, by the jobs that were run before."""

from datetime import timedelta
from typing import Any

import pytest

from service.domain.duration import DurationEstimate, PastRun, Workload, estimate_duration, workload
from tests.builders import NOON, dataset_info, job_spec

TIMINGS = {"preparing_s": 2.0, "training_s": 60.0, "scoring_s": 30.0, "ranking_s": 8.0}
SECONDS = sum(TIMINGS.values())


def work(rows: int = 1000, pixels: float | None = 1, **options: Any) -> Workload:
    info = dataset_info(rows=rows)
    return workload(job_spec(info, **options), info.modality, rows, len(info.features), len(info.classes), pixels)


def run(done: Workload, factor: float = 1, minutes: float = 60) -> PastRun:
    timings = {phase: seconds * factor for phase, seconds in TIMINGS.items()}
    return PastRun(done, timings, NOON - timedelta(minutes=minutes))


def middle(estimate: DurationEstimate) -> float:
    assert estimate.seconds is not None
    low, high = estimate.seconds
    return float((low * high) ** 0.5)


def width(estimate: DurationEstimate) -> float:
    assert estimate.seconds is not None
    return estimate.seconds[1] / estimate.seconds[0]


def test_without_a_job_of_the_model_nothing_is_known() -> None:
    assert estimate_duration(work(), [], NOON) == DurationEstimate(None, "no job of this model has run here yet")
    other = run(work(model={"name": "tabm"}))
    assert estimate_duration(work(), [other], NOON).seconds is None


@pytest.mark.parametrize("number", [1, 3, 30])
def test_the_same_job_again_takes_as_long_within_30_percent_and_more_with_few_jobs(number: int) -> None:
    found = estimate_duration(work(), [run(work(), minutes=12 + place) for place in range(number)], NOON)
    assert found.seconds is not None
    assert found.seconds[0] <= 0.7 * SECONDS * 1.000001
    assert found.seconds[1] >= 1.3 * SECONDS
    assert middle(found) == pytest.approx(SECONDS)
    jobs = "1 job" if number == 1 else f"{number} jobs"
    assert found.basis == f"from {jobs} of this model here, the last 12 minutes ago"


def test_the_interval_narrows_with_jobs_that_agree_and_widens_with_jobs_that_do_not() -> None:
    one = estimate_duration(work(), [run(work())], NOON)
    many = estimate_duration(work(), [run(work(), minutes=place) for place in range(10)], NOON)
    torn = estimate_duration(work(), [run(work(), 1 + place % 2, minutes=place) for place in range(10)], NOON)
    assert width(many) < width(one)
    assert width(many) < width(torn)
    assert torn.seconds is not None
    assert torn.seconds[0] < SECONDS < 2 * SECONDS < torn.seconds[1]


def test_training_grows_with_rows_and_epochs_and_scoring_with_rows_and_checkpoints() -> None:
    def seconds(**changes: Any) -> float:
        options = {"epochs": 10, "checkpoints": 5, **{name: changes[name] for name in changes if name != "rows"}}
        planned = work(changes.get("rows", 1000), training=options)
        return middle(estimate_duration(planned, [run(work(training={"epochs": 10, "checkpoints": 5}))], NOON))

    assert seconds() == pytest.approx(SECONDS)
    assert seconds(rows=2000) == pytest.approx(2 * SECONDS)
    assert seconds(epochs=20) == pytest.approx(SECONDS + TIMINGS["training_s"])
    assert seconds(checkpoints=10) == pytest.approx(SECONDS + TIMINGS["scoring_s"])


def test_batches_are_doubted_between_cost_by_step_and_cost_by_sample() -> None:
    planned, done = work(training={"batch_size": 16}), work(training={"batch_size": 64})
    found = estimate_duration(planned, [run(done)], NOON)
    assert found.seconds is not None
    rest = SECONDS - TIMINGS["training_s"]
    assert found.seconds[0] < rest + TIMINGS["training_s"]
    assert found.seconds[1] > rest + 4 * TIMINGS["training_s"]


def test_images_of_twice_the_side_take_four_times_as_long_and_of_unknown_size_say_nothing() -> None:
    done = run(work(pixels=32 * 32))
    assert middle(estimate_duration(work(pixels=64 * 64), [done], NOON)) == pytest.approx(4 * SECONDS)
    assert estimate_duration(work(pixels=None), [done], NOON).seconds is None


def test_the_most_recent_jobs_count_most() -> None:
    fast, slow = run(work(), 1, minutes=5), run(work(), 4, minutes=500)
    found = middle(estimate_duration(work(), [slow, fast], NOON))
    assert SECONDS < found < 2 * SECONDS
    assert middle(estimate_duration(work(), [fast, slow], NOON)) == found, "the order of the runs does not matter"


def test_a_job_of_another_size_is_doubted_the_more_the_farther_it_is() -> None:
    widths = [width(estimate_duration(work(rows), [run(work())], NOON)) for rows in (1000, 2000, 8000)]
    assert widths == sorted(set(widths))
    far = estimate_duration(work(10_000_000), [run(work(100))], NOON)
    assert (far.seconds, far.basis) == (None, "the jobs of this model that have run here are too unlike this one")


def test_jobs_with_other_options_widen_the_interval_and_are_said() -> None:
    planned, other = work(model={"name": "mlp", "params": {"width": 64}}), work(model={"name": "mlp"})
    found = estimate_duration(planned, [run(other)], NOON)
    assert found.seconds is not None
    assert found.seconds[0] < SECONDS / 3
    assert found.seconds[1] > SECONDS * 3
    assert found.basis == "from 1 job of this model with other options here, the last 1 hour ago"
    both = estimate_duration(planned, [run(other), run(planned, 2)], NOON)
    assert both.basis.startswith("from 1 job of this model here")
    assert middle(both) > 1.5 * SECONDS


def test_a_job_that_reads_gradients_of_every_layer_is_not_predicted_by_one_of_the_last() -> None:
    assert estimate_duration(work(influence={"layers": "all"}), [run(work())], NOON).seconds is None


def test_outputs_of_a_backbone_that_are_kept_say_little_of_a_dataset_that_it_has_not_seen() -> None:
    info = dataset_info(rows=1000, modality="image")

    def images(dataset: str) -> Workload:
        spec = job_spec(info, model={"name": "pretrained_image"}).model_copy(update={"dataset": dataset})
        return workload(spec, "image", 1000, 1, 3, 1)

    long = {**TIMINGS, "preparing_s": 900.0}
    first = PastRun(images("ds_1"), long, NOON - timedelta(hours=2))
    second = PastRun(images("ds_1"), TIMINGS, NOON - timedelta(hours=1))
    known = middle(estimate_duration(images("ds_1"), [first, second], NOON))
    new = middle(estimate_duration(images("ds_2"), [first, second], NOON))
    assert known == pytest.approx(SECONDS, rel=0.3)
    assert new == pytest.approx(sum(long.values()), rel=0.3)
