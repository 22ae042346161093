"""Jobs whose samples are in groups: what is found, what is held out, and what is said of it."""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from sklearn.metrics import average_precision_score

from service.domain.dataset import DatasetSpec
from service.domain.errors import Invalid
from service.domain.specs import Reference, Training
from service.ingest.ingest import ingest
from service.ingest.limits import Limits
from tests.builders import dataset_info, job_spec
from tests.unit.worker.canonical import canonical
from tests.unit.worker.test_backbones_jobs import whole_job
from tests.unit.worker.test_search import PLAIN, Counter
from worker.backbones import BackboneContext, FeatureCache
from worker.data.canonical import open_canonical
from worker.data.group_numbers import group_numbers, sample_groups
from worker.data.partition import partition
from worker.job.ranking import RankingResult
from worker.training.search import find_rate

PATIENTS, EACH, CLASSES, WIDTH, HEAPS = 90, 16, 3, 12, 2


class Visits:
    """Rows of patients, sixteen of each, that hardly differ; the label of every seventh patient is wrong in all of them."""

    def __init__(self) -> None:
        draw = np.random.default_rng(5)
        truth = np.arange(PATIENTS) % CLASSES
        centres = 1.3 * draw.normal(size=(CLASSES, HEAPS, WIDTH))
        patients = centres[truth, draw.integers(0, HEAPS, PATIENTS)] + draw.normal(size=(PATIENTS, WIDTH))
        wrong = draw.permutation(PATIENTS) < PATIENTS // 7
        given = np.where(wrong, (truth + draw.integers(1, CLASSES, PATIENTS)) % CLASSES, truth)
        who = draw.permutation(np.repeat(np.arange(PATIENTS), EACH))
        self.x = patients[who] + 0.4 * draw.normal(size=(len(who), WIDTH))
        self.labels, self.wrong = given[who], wrong[who]
        self.groups = [f"patient {number}" for number in who]

    def ranked(self, folder: Path, *, grouped: bool, **changes: Any) -> tuple[RankingResult, dict[str, float]]:
        """The result of a job, and the average precision of its signals."""
        folder.mkdir()
        dataset = canonical(
            folder / "visits.parquet",
            "tabular",
            {f"value {place}": ("numeric", self.x[:, place].tolist()) for place in range(WIDTH)},
            labels=self.labels.tolist(),
            groups=self.groups if grouped else None,
            **changes,
        )
        rows = len(self.labels)
        spec = job_spec(dataset_info(rows=rows, splits={"train": rows}), model={"name": "mlp"}, training={"epochs": 12})
        features = FeatureCache(folder / "features", 10**9)
        backbones = BackboneContext(folder / "models", folder / "networks", features, folder / "scratch")
        _, outcome = whole_job(spec, dataset, backbones, folder / "job")
        scores = {name: outcome.table[name].to_numpy() for name in outcome.result["signals"]}
        return outcome, {name: float(average_precision_score(self.wrong, found)) for name, found in scores.items()}


@pytest.fixture(scope="module")
def visits(tmp_path_factory: pytest.TempPathFactory) -> dict[bool, tuple[RankingResult, dict[str, float]]]:
    folder, made = tmp_path_factory.mktemp("visits"), Visits()
    return {grouped: made.ranked(folder / str(grouped), grouped=grouped) for grouped in (False, True)}


def flagged(outcome: RankingResult) -> npt.NDArray[np.bool_]:
    found: npt.NDArray[np.bool_] = outcome.table["verdict"].to_numpy() == "mislabeled"
    return found


@pytest.mark.slow
def test_errors_that_a_group_shares_are_found_with_the_groups_and_missed_without(
    visits: dict[bool, tuple[RankingResult, dict[str, float]]],
) -> None:
    wrong = Visits().wrong
    (without, before), (with_, after) = visits[False], visits[True]
    assert not flagged(without).any()
    found = flagged(with_)
    assert found.sum() > wrong.sum() / 3
    assert wrong[found].mean() > 0.8
    assert after["mislabeled"] > before["mislabeled"] + 0.1
    assert after["held_out_guess"] > before["held_out_guess"] + 0.1
    assert after["knn_vote"] > before["knn_vote"] + 0.4


@pytest.mark.slow
def test_the_groups_that_are_used_are_counted(visits: dict[bool, tuple[RankingResult, dict[str, float]]]) -> None:
    said = {one["code"]: one["detail"] for one in visits[True][0].result["warnings"]}
    assert f"{PATIENTS * EACH} of the {PATIENTS * EACH} samples are in {PATIENTS} groups" in said["groups_used"]
    assert not said.keys() & {"groups_in_reference", "class_in_one_group"}
    assert "groups_used" not in {one["code"] for one in visits[False][0].result["warnings"]}


def test_a_split_through_groups_and_a_class_of_one_group_are_told(tmp_path: Path) -> None:
    draw, rows = np.random.default_rng(0), 60
    labels = [row % 3 for row in range(rows)]
    # Every dog is of one kennel; a cat and an eel of each other group are in the test split.
    groups = ["kennel" if label == 1 else f"house {row // 12}" for row, label in enumerate(labels)]
    dataset = canonical(
        tmp_path / "pets.parquet",
        "tabular",
        {"weight": ("numeric", draw.normal(size=rows).tolist()), "age": ("numeric", draw.normal(size=rows).tolist())},
        labels=labels,
        groups=groups,
        splits=["test" if row % 12 > 9 and label != 1 else "train" for row, label in enumerate(labels)],
    )
    assert dataset.splits.count("test") == 5
    info = dataset_info(rows=rows, splits={"train": 55, "test": 5})
    spec = job_spec(info, model={"name": "mlp"}, training={"epochs": 2}, reference={"split": "test", "trusted": False})
    features = FeatureCache(tmp_path / "features", 10**9)
    backbones = BackboneContext(tmp_path / "models", tmp_path / "networks", features, tmp_path / "scratch")
    _, outcome = whole_job(spec, dataset, backbones, tmp_path / "job")
    said = {one["code"]: one["detail"] for one in outcome.result["warnings"]}
    assert "5 groups" in said["groups_in_reference"]
    assert "5 of the 5 reference samples" in said["groups_in_reference"]
    assert "1 classes" in said["class_in_one_group"]
    assert "dog" in said["class_in_one_group"]


def test_a_group_is_a_name_in_whichever_file_and_a_sample_without_one_stands_alone(tmp_path: Path) -> None:
    columns = {"weight": ("numeric", [1.0, 2.0, 3.0, 4.0])}
    train = canonical(tmp_path / "train.parquet", "tabular", columns, groups=["a", None, "a", None])
    other = canonical(tmp_path / "other.parquet", "tabular", columns, groups=["b", "a", None, "b"])
    plain = canonical(tmp_path / "plain.parquet", "tabular", columns)
    alone = canonical(tmp_path / "alone.parquet", "tabular", columns, groups=["a", "b", None, "d"])
    every = torch.arange(4)
    found = sample_groups(train, every, other, every)
    assert found is not None
    assert found.train.tolist() == [0, 1, 0, 3]
    assert found.reference[1] == 0
    assert found.reference[0] == found.reference[3] != found.reference[2]
    assert group_numbers(plain) is None
    assert group_numbers(alone) is None
    assert sample_groups(plain, every, plain, every) is None


def test_the_groups_that_an_upload_names_reach_the_worker(tmp_path: Path) -> None:
    rows = [f"{name},{row % 2},{row * 7 % 11}.5\n" for row, name in enumerate(["a", "b", "a", "", "", "b"])]
    (tmp_path / "visits.csv").write_text("patient,ill,weight\n" + "".join(rows))
    spec = DatasetSpec(label="ill", group="patient")
    ingest(tmp_path / "visits.csv", "visits.csv", spec, tmp_path / "data", tmp_path / "skipped", Limits())
    found = group_numbers(open_canonical(tmp_path / "data"))
    assert found is not None
    assert found.tolist() == [0, 1, 0, 3, 4, 1]


IDS = [f"row-{row}" for row in range(120)]
TRAIN = ["train"] * 120


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_holdout_takes_whole_groups_and_about_its_share_of_every_class(seed: int) -> None:
    draw = np.random.default_rng(seed)
    groups = torch.from_numpy(draw.permutation(np.arange(120) // 4))
    labels = torch.from_numpy(draw.integers(0, 3, 120))
    part = partition(IDS, TRAIN, labels, Reference(holdout=0.25), seed, groups)
    assert not set(groups[part.reference].tolist()) & set(groups[part.train].tolist())
    assert len(part.train) + len(part.reference) == 120
    shares = labels[part.reference].bincount(minlength=3) / labels.bincount(minlength=3)
    assert 0.1 < shares.min() <= shares.max() < 0.4
    again = partition(IDS, TRAIN, labels, Reference(holdout=0.25), seed, groups)
    assert torch.equal(part.reference, again.reference)


def test_a_holdout_leaves_some_of_every_class_or_says_that_no_group_fits() -> None:
    labels = torch.arange(120) % 2
    part = partition(IDS, TRAIN, labels, Reference(holdout=0.5), 0, torch.arange(120) // 40)
    assert 0 < len(part.reference) < 120
    with pytest.raises(Invalid, match="holdout") as caught:
        partition(IDS, TRAIN, labels, Reference(holdout=0.1), 0, torch.arange(120) // 60)
    assert "group" in caught.value.errors[0].msg


def test_the_search_for_a_rate_judges_by_groups_that_it_did_not_learn() -> None:
    model, groups = Counter(), torch.from_numpy(np.random.default_rng(0).permutation(np.arange(500) // 7))
    training = Training.model_validate({**PLAIN.model_dump(), "epochs": 20, "batch_size": 50})
    find_rate(model, (torch.arange(500.0)[:, None],), torch.arange(500) % 2, training, groups)
    learnt, judged = (set(groups[torch.cat(model.seen[mode]).long()].tolist()) for mode in (True, False))
    assert learnt
    assert len(judged) >= 15
    assert not learnt & judged
