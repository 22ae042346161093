"""Ranks that record together write the file of a single process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from tests.unit.recorder.rank_program import N, forms, network, own_places, samples
from usual_suspects.recorder import TraceRecorder

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ranks")]

ROOT = Path(__file__).parents[3]
PROGRAM = Path(__file__).with_name("rank_program.py")
RATE = 0.1


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two ranks have recorded trainings."""
    made = tmp_path_factory.mktemp("ranks")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": str(torch.get_num_threads())}
    ranks = [
        subprocess.Popen(
            [sys.executable, "-W", "error", PROGRAM, made, str(rank)],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for rank in range(2)
    ]
    said = [rank.communicate(timeout=120)[0] for rank in ranks]
    assert all(rank.returncode == 0 for rank in ranks), "\n".join(said)
    return made


def seen(folder: Path) -> list[dict[str, Any]]:
    return [json.loads((folder / f"rank-{rank}.json").read_text()) for rank in range(2)]


def recorded_alone(folder: Path, path: Path, data: Any, **options: Any) -> Path:
    """The file of a single process that records the models of the training of the ranks."""
    model = network()
    recorder = TraceRecorder(model, data, path, **options)
    for state in torch.load(folder / "states.pt"):
        model.load_state_dict(state)
        recorder.record(RATE)
    return recorder.close()


def opened(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {name: file.get_tensor(name) for name in file.keys()}, file.metadata()  # noqa: SIM118  no mapping


@pytest.mark.parametrize("name", [*forms(), "by_rank"])
def test_the_file_of_two_ranks_is_byte_for_byte_that_of_one_process(folder: Path, tmp_path: Path, name: str) -> None:
    data = (forms() | {"by_rank": DataLoader(samples(), 64)})[name]
    alone = recorded_alone(folder, tmp_path / "run", data, reference=samples(40, 1), classes=list("abc"))
    assert (folder / name).read_bytes() == alone.read_bytes()


def test_ids_that_are_numbers_stay_an_array(folder: Path, tmp_path: Path) -> None:
    alone = recorded_alone(folder, tmp_path / "run", samples(), ids=range(N))
    assert (folder / "numbers").read_bytes() == alone.read_bytes()


def test_a_sample_of_both_ranks_is_there_once_as_the_first_of_them_saw_it(folder: Path, tmp_path: Path) -> None:
    places = [*own_places(0), *(place for place in own_places(1) if place not in own_places(0))]
    assert len(places) == N < len(own_places(0) + own_places(1))
    ids = [f"s{place}" for place in places]
    expected, named = opened(recorded_alone(folder, tmp_path / "run", Subset(samples(), places), ids=ids))
    found, metadata = opened(folder / "own")
    assert metadata == named
    assert list(found) == list(expected)
    for name, values in expected.items():
        torch.testing.assert_close(found[name], values, rtol=1e-4, atol=1e-5)  # other samples share a batch


def test_ranks_go_on_with_what_they_recorded_before_they_ended(folder: Path) -> None:
    arrays, _ = opened(folder / "continued")
    assert arrays["learning_rates"].tolist() == [RATE] * 3
    for epoch in (2, 3):
        head: Any = network()[-1]
        expected = arrays[f"activations_{epoch}"] @ (head.weight * 2**epoch).T + head.bias
        torch.testing.assert_close(arrays[f"logits_{epoch}"], expected.detach(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["flat", "sharded"])
@pytest.mark.parametrize("own", ["", " own"])
def test_a_sharded_model_gives_what_a_replicated_one_gives(folder: Path, kind: str, own: str) -> None:
    expected, _ = opened(folder / (own.strip() or "set"))
    found, metadata = opened(folder / (kind + own))
    assert metadata["bias"] == "true"
    assert list(found) == list(expected)
    for name, values in found.items():
        torch.testing.assert_close(values, expected[name], rtol=1e-3, atol=1e-4)


def test_a_training_goes_on_as_without_a_recorder(folder: Path) -> None:
    for kind in ("replicated", "flat", "sharded"):
        assert all(rank[f"{kind} same training"] for rank in seen(folder))


@pytest.mark.parametrize(
    ("case", "first", "second"),
    [
        ("own without ids", "ValueError: train: rank 1 gave other samples than rank 0", "each rank its own with ids="),
        (
            "wrong labels",
            "RuntimeError: running the first samples: rank 1 failed: ValueError: labels, sample 0: 8",
            "8",
        ),
        ("another folder", "ValueError: rank 1 on .*a file system that all ranks share", "rank 0 failed: ValueError"),
        (
            "lost shard",
            "OSError: the shard of rank 1 has no .*logits_1; all ranks must write",
            "rank 0 failed: OSError",
        ),
        ("other epoch", "ValueError: rank 1 gave epoch=2 and rank 0 1", "ValueError: rank 1 gave epoch=2"),
        ("diverged", "RuntimeWarning: epoch 1 is not recorded", "RuntimeWarning: epoch 1 is not recorded"),
        ("other weights", "ValueError: the last layer of rank 1 has other weights", "ValueError: the last layer"),
    ],
)
def test_what_is_wrong_on_one_rank_is_told_on_all_and_names_it(
    folder: Path, case: str, first: str, second: str
) -> None:
    for rank, expected in zip(seen(folder), (first, second), strict=True):
        with pytest.raises(AssertionError, match=expected):
            raise AssertionError(rank[case])


def test_a_training_that_fails_is_kept_up_to_there_where_all_ranks_come(folder: Path) -> None:
    assert all(rank["all failed"] == "ValueError: a training that failed" for rank in seen(folder))
    assert "logits_1" in opened(folder / "all failed")[0]
    first, second = (rank["one failed"] for rank in seen(folder))
    assert second.startswith("ValueError: a training that failed; ")
    assert "one failed was not written: close: rank 0 ended, or did not come within 0:00:00.3" in second
    assert first.startswith("RuntimeError: close: rank 1 ended, or did not come within")
    assert not (folder / "one failed").exists()


def test_a_rank_that_ended_is_named(folder: Path) -> None:
    assert seen(folder)[0]["ended"].startswith("RuntimeError: close: rank 1 ended, or did not come within 0:01:00")
    assert not (folder / "ended").exists()


def test_nothing_is_left_beside_a_complete_file(folder: Path) -> None:
    left = {path.name.removesuffix(".arrays") for path in folder.glob("*.arrays")}
    assert left == {"refused", "one failed", "ended"}
