"""Boosted trees: the same bits after an interruption, missing values as such, and jobs that are ranked by them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from sklearn.ensemble import RandomForestClassifier

from service.domain.errors import Invalid
from service.domain.models.tabular import BoostedTreesParams
from service.domain.resolve import resolve
from service.domain.signal import SIGNALS
from service.domain.specs import JobOptions, JobSpec
from tests.builders import dataset_info
from tests.trees import COUNT, SHAPE, grown, table, training
from tests.unit.worker.canonical import canonical
from worker.data.canonical import Canonical
from worker.job.measuring import Scored
from worker.job.preparation import fit, prepare
from worker.job.ranking import RankingResult, rank
from worker.job.scoring import score
from worker.models.boosted_trees import BoostedTrees
from worker.serving.inference import probabilities, restore_model
from worker.training import forest
from worker.training.boosting import grow
from worker.training.forest import out_of_bag
from worker.training.loop import EpochMetrics, TrainingState

ROWS = 300


@contextmanager
def threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("classes", [2, 4])
def test_trees_that_are_grown_on_from_any_block_are_the_same(classes: int, tmp_path: Path) -> None:
    states: list[TrainingState] = []
    whole, _, _ = grown(classes, states=states)
    for state in states[:-1]:
        state.save(tmp_path / "state.pt")
        again, _, _ = grown(classes, resume=TrainingState.load(tmp_path / "state.pt"))
        assert torch.equal(again.texts, whole.texts)
        assert torch.equal(again.ends, whole.ends)


def test_trees_do_not_depend_on_the_number_of_threads() -> None:
    with threads(1):
        one, _, _ = grown(3)
    with threads(4):
        four, inputs, _ = grown(3)
        logits = four(*inputs)
    # Each model's text ends with its options, of which one is the number of threads.
    assert torch.equal(one(*inputs), logits)


def test_the_blocks_of_one_seed_are_drawn_apart() -> None:
    model, _, _ = grown(2)
    firsts = {block.model_to_string().split("Tree=1")[0].split("split_feature=")[1][:60] for block in model.blocks()}
    assert len(firsts) == 3


def test_a_number_is_missing_where_its_indicator_says_so_and_that_is_no_column_of_its_own() -> None:
    (numeric, codes), _ = table(2)
    values = BoostedTrees(BoostedTreesParams(), SHAPE, 2).matrix(numeric, codes)
    assert values.shape == (COUNT, 4)
    assert (torch.from_numpy(values[:, 1]).isnan() == (numeric[:, 2] == 1)).all()
    assert torch.equal(torch.from_numpy(values[:, 3]), codes[:, 0].float())
    assert not numeric.isnan().any(), "the job's own numbers stay"


def test_trees_without_a_split_answer_with_the_class_frequencies() -> None:
    inputs, labels = table(3)
    model = BoostedTrees(BoostedTreesParams(smallest_leaf=COUNT), SHAPE, 3)
    grow(model, inputs, labels, training(2), resume=None, after_epoch=lambda _state, _metrics: None)
    expected = labels.bincount() / COUNT
    torch.testing.assert_close(torch.softmax(model(*inputs), 1), expected.expand(COUNT, -1))


def test_out_of_bag_answers_on_a_sample_do_not_depend_on_its_label() -> None:
    (numeric, _), labels = table(3)
    changed = labels.clone()
    changed[11] = (labels[11] + 1) % 3
    before, after = (out_of_bag(numeric, one, 3, seed=1) for one in (labels, changed))
    assert torch.equal(before[11], after[11])
    assert not torch.equal(before, after)
    torch.testing.assert_close(before.sum(1), torch.ones(COUNT))


@pytest.mark.parametrize("count", [1, 2])
def test_out_of_bag_answers_are_those_of_scikit_learn_to_the_bit_on_any_number_of_threads(count: int) -> None:
    (numeric, _), labels = table(3)
    peer = RandomForestClassifier(
        forest._TREES, min_samples_leaf=forest._SMALLEST_LEAF, oob_score=True, max_samples=len(labels), random_state=4
    )
    expected = peer.fit(numeric.numpy(), labels.numpy()).oob_decision_function_
    with threads(count):
        found = out_of_bag(numeric, labels, 3, seed=4)
    assert torch.equal(found, torch.from_numpy(expected).float())


def test_a_sample_in_every_bag_gets_the_class_frequencies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forest, "_TREES", 1)
    (numeric, _), labels = table(3)
    found = out_of_bag(numeric, labels, 3, seed=0)
    share = labels.bincount(minlength=3).float() / len(labels)
    inside = (found == share).all(1)
    assert 0.5 < float(inside.float().mean()) < 0.75  # 1 - 1/e of the samples are drawn
    assert torch.allclose(found.sum(1), torch.ones(len(labels)))


def test_a_class_without_a_training_sample_gets_nothing_out_of_bag() -> None:
    (numeric, _), labels = table(2)
    found = out_of_bag(numeric, labels * 2, 4, seed=0)
    assert found.shape == (COUNT, 4)
    assert not found[:, [1, 3]].any()


INFO = dataset_info(rows=ROWS, modality="tabular", splits={"train": ROWS})
TREES = {"name": "boosted_trees"}


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Canonical:
    (numeric, codes), labels = table(3, count=ROWS)
    columns = {
        "length": ("numeric", [None if missing else value for value, missing in numeric[:, [0, 2]].tolist()]),
        "width": ("numeric", numeric[:, 3].tolist()),
        "colour": ("categorical", [f"colour {code}" for code in codes[:, 0].tolist()]),
    }
    return canonical(tmp_path_factory.mktemp("trees") / "data.parquet", "tabular", columns, labels.tolist())


def spec_of(**options: object) -> JobSpec:
    return resolve(JobOptions.model_validate({"model": TREES, **options}), INFO)


def done(spec: JobSpec, dataset: Canonical, scratch: Path) -> tuple[Scored, RankingResult]:
    prepared, states = prepare(spec, dataset, None), []

    def keep(state: TrainingState, _metrics: EpochMetrics) -> None:
        states.append(state)

    fit(prepared, spec, None, keep)
    rates = [state.learning_rate for state in states]
    scored = score(prepared, spec, rates, lambda t: states[t].model, scratch, lambda _share: None)
    return scored, rank(prepared, spec, scored, dataset)


@pytest.mark.parametrize("reference", [None, {"holdout": 0.2}, {"samples": [f"row-{row}" for row in range(0, 300, 3)]}])
def test_a_job_with_trees_finds_planted_labels_and_has_every_signal_that_suits(
    dataset: Canonical, reference: dict[str, object] | None, tmp_path: Path
) -> None:
    planted = {"kind": "mislabeled_uniform", "rate": 0.1}
    scored, outcome = done(spec_of(reference=reference, glitches=[planted]), dataset, tmp_path)
    trusted = reference is not None and "samples" in reference
    assert set(outcome.result["signals"]) == {
        name
        for name, signal in SIGNALS.items()
        if signal.unsuited_for_trees() is None and (trusted or not signal.trusted_reference)
    }
    assert len(scored.train.logits) == 10
    assert outcome.summaries["mislabeled"]["detection"]["average_precision"] > 0.8


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"training": {"batch_size": 32}}, ["training", "batch_size"]),
        ({"training": {"optimizer": "adamw"}}, ["training", "optimizer"]),
        ({"training": {"class_weights": "balanced"}}, ["training", "class_weights"]),
        ({"training": {"find_learning_rate": True}}, ["training", "find_learning_rate"]),
        ({"influence": {"layers": "all"}}, ["influence", "layers"]),
        ({"signals": ["aum", "relatif"]}, ["signals", 1]),
        ({"signals": ["frozen_vote"]}, ["signals", 0]),
    ],
)
def test_what_trees_lack_is_refused_by_name(options: dict[str, object], place: list[str | int]) -> None:
    with pytest.raises(Invalid) as refused:
        spec_of(**options)
    assert [error.loc for error in refused.value.errors] == [place]


def test_networks_have_no_out_of_bag_error() -> None:
    assert "out_of_bag" not in resolve(JobOptions(), INFO).signals
    with pytest.raises(Invalid, match="boosted_trees"):
        resolve(JobOptions(signals=["out_of_bag"]), INFO)


def test_a_new_sample_is_predicted_by_the_kept_trees(dataset: Canonical, tmp_path: Path) -> None:
    spec, states = spec_of(), []
    prepared = prepare(spec, dataset, None)

    def keep(state: TrainingState, _metrics: EpochMetrics) -> None:
        states.append(state)

    fit(prepared, spec, None, keep)
    save_file({name: value.contiguous() for name, value in states[-1].model.items()}, tmp_path / "model.safetensors")
    trained = restore_model(spec, dataset, load_file(tmp_path / "model.safetensors"))
    found = probabilities(trained, dataset)
    torch.testing.assert_close(found, torch.softmax(prepared.model(*prepared.inputs), 1))
