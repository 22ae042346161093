"""Trees beside a network: they have not learnt from the sample, count in what a job says of labels, and are left out by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from service.domain.errors import invalid
from service.domain.models.tabular import BoostedTreesParams
from service.domain.resolve import resolve
from service.domain.specs import JobOptions, JobSpec
from tests.builders import dataset_info
from tests.trees import COUNT, SHAPE, table
from tests.unit.worker.canonical import canonical
from worker.data.canonical import Canonical
from worker.job.first_ranking import first_ranking
from worker.job.growing_trees import growing
from worker.job.measuring import Scored
from worker.job.preparation import PreparedJob, fit, prepare
from worker.job.ranking import RankingResult, rank
from worker.job.scoring import score
from worker.job.trees_beside import _GROWING, first_trees, trees_beside
from worker.models.boosted_trees import BoostedTrees
from worker.signals.measurements import Measurements
from worker.training.loop import EpochMetrics, TrainingState

ROWS = 300
INFO = dataset_info(rows=ROWS, splits={"train": ROWS})


def beside(labels: torch.Tensor, on_progress: Callable[[float], None] = lambda _share: None) -> torch.Tensor:
    inputs, _ = table(3)
    return trees_beside(BoostedTrees(BoostedTreesParams(), SHAPE, 3), inputs, labels, 0, on_progress)


def test_what_trees_say_is_the_same_bits_again_and_probabilities() -> None:
    _, labels = table(3)
    told: list[float] = []
    found = beside(labels, told.append)
    assert torch.equal(found, beside(labels))
    torch.testing.assert_close(found.sum(1), torch.ones(COUNT))
    assert told == sorted(told)
    assert 0 < told[0] < told[-1] == 1


def test_a_wrong_label_does_not_make_trees_say_it() -> None:
    _, labels = table(3)
    changed = labels.clone()
    changed[:15] = (labels[:15] + 1) % 3
    found = beside(changed)[:15]
    right, wrong = (found.gather(1, one[:15, None]).mean() for one in (labels, changed))
    assert right > 2 * wrong


@pytest.fixture(scope="module")
def columns() -> tuple[dict[str, Any], list[int]]:
    (numeric, codes), labels = table(3, count=ROWS)
    kept = {
        "length": ("numeric", [None if missing else value for value, missing in numeric[:, [0, 2]].tolist()]),
        "width": ("numeric", numeric[:, 3].tolist()),
        "colour": ("categorical", [f"colour {code}" for code in codes[:, 0].tolist()]),
    }
    return kept, labels.tolist()


@pytest.fixture(scope="module")
def dataset(columns: tuple[dict[str, Any], list[int]], tmp_path_factory: pytest.TempPathFactory) -> Canonical:
    return canonical(tmp_path_factory.mktemp("beside") / "data.parquet", "tabular", *columns)


def spec_of(*, trees: bool) -> JobSpec:
    options = {
        "model": {"name": "mlp", "params": {"trees": trees, "width": 16}},
        "training": {"epochs": 4},
        "glitches": [{"kind": "mislabeled_pair", "rate": 0.1}],
    }
    return resolve(JobOptions.model_validate(options), INFO)


def done(spec: JobSpec, dataset: Canonical, scratch: Path) -> tuple[PreparedJob, Scored, RankingResult]:
    prepared, states = prepare(spec, dataset, None), []

    def keep(state: TrainingState, _metrics: EpochMetrics) -> None:
        states.append(state)

    told: list[float] = []
    with growing(prepared.trees, prepared.inputs, prepared.planted.labels, spec.training.seed) as trees:
        fit(prepared, spec, None, keep)
        rates = [state.learning_rate for state in states]
        scored = score(prepared, spec, rates, lambda t: states[t].model, scratch, told.append, trees=trees)
    assert told == sorted(told)
    assert told[-1] == 1
    return prepared, scored, rank(prepared, spec, scored, dataset)


def by_trees(scored: Scored) -> torch.Tensor | None:
    assert isinstance(scored.measurements, Measurements)
    return scored.measurements.by_trees


def test_trees_change_what_is_said_of_labels_and_nothing_that_the_network_says_alone(
    dataset: Canonical, tmp_path: Path
) -> None:
    _, one, alone = done(spec_of(trees=False), dataset, tmp_path)
    _, two, both = done(spec_of(trees=True), dataset, tmp_path)
    assert by_trees(one) is None
    assert by_trees(two) is not None
    changed = {name for name in alone.result["signals"] if not alone.table[name].equals(both.table[name])}
    assert changed == {"mislabeled", "confusion_margin"}
    found, before = (outcome.summaries["mislabeled"]["detection"]["average_precision"] for outcome in (both, alone))
    assert found > before


def test_trees_that_grow_while_the_network_is_trained_say_the_same(dataset: Canonical, tmp_path: Path) -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        _, afterwards, _ = done(spec_of(trees=True), dataset, tmp_path)
        torch.set_num_threads(2)
        _, meanwhile, _ = done(spec_of(trees=True), dataset, tmp_path)
    finally:
        torch.set_num_threads(before)
    found, expected = by_trees(meanwhile), by_trees(afterwards)
    assert found is not None
    assert expected is not None
    assert torch.equal(found, expected)


def codes_of(outcome: RankingResult) -> set[str]:
    return {warning["code"] for warning in outcome.result["warnings"]}


def test_without_the_library_of_trees_the_network_answers_alone_and_a_warning_says_so(
    dataset: Canonical, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> None:
        raise invalid(["model", "name"], "no OpenMP library")

    assert "no_trees" not in codes_of(done(spec_of(trees=True), dataset, tmp_path)[2])
    monkeypatch.setattr("worker.job.preparation.lightgbm", missing)
    _, scored, outcome = done(spec_of(trees=True), dataset, tmp_path)
    assert by_trees(scored) is None
    assert "no_trees" in codes_of(outcome)


def test_samples_in_groups_are_left_to_the_network(columns: tuple[dict[str, Any], list[int]], tmp_path: Path) -> None:
    grouped = canonical(
        tmp_path / "grouped.parquet", "tabular", *columns, groups=[f"g{row // 3}" for row in range(ROWS)]
    )
    prepared, scored, outcome = done(spec_of(trees=True), grouped, tmp_path)
    assert prepared.groups is not None
    assert by_trees(scored) is None
    assert "no_trees" not in codes_of(outcome)


def test_trees_that_answered_first_are_grown_on_to_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    inputs, labels = table(3)
    model, told = BoostedTrees(BoostedTreesParams(), SHAPE, 3), list[float]()
    monkeypatch.setattr("worker.job.trees_beside._FIRST", 1)
    first = first_trees(model, inputs, labels, 0, told.append)
    assert len(model.blocks()) == 1
    assert told[-1] == 1
    torch.testing.assert_close(first.sum(1), torch.ones(COUNT))
    after: list[float] = []
    assert torch.equal(trees_beside(model, inputs, labels, 0, after.append), beside(labels))
    assert len(model.blocks()) == 10
    assert after[0] > _GROWING / 10, "the first of ten blocks was grown again"


def test_a_first_ranking_finds_wrong_labels_and_claims_no_more(dataset: Canonical) -> None:
    spec = spec_of(trees=True)
    prepared = prepare(spec, dataset, None)
    assert prepared.trees is not None
    found = first_ranking(prepared, prepared.trees, spec, dataset, lambda _share: None)
    assert found.result["stage"] == "quick"
    assert found.result["signals"] == ["mislabeled"]
    assert codes_of(found) == {"first_ranking"}
    assert {one["status"] for one in found.result["estimates"].values()} == {"unknown"}
    assert "train_accuracy" not in found.result["model"]
    assert "anomalous" not in set(found.table["verdict"].to_pylist())
    rate = int(prepared.planted.touched.sum()) / ROWS
    assert found.summaries["mislabeled"]["detection"]["average_precision"] > 3 * rate
