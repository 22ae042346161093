"""Recorded trainings: activations and logits of every sample at every checkpoint, as safetensors or NPZ."""

import io
import json
import os
import pickle
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import save

from service.domain.errors import Invalid, Malformed, UnreadableType
from tests.unit.ingest.uploads import Take, npz_of

N, M, D, C = 12, 5, 4, 3
CLASSES = ["cat", "dog", "eel"]


def recording(seed: int = 0, **changes: Any) -> dict[str, npt.NDArray[Any]]:
    """Two checkpoints, at epochs 2 and 7; a change of None takes an array away."""
    draw = np.random.default_rng(seed)
    arrays = {
        "labels": np.arange(N) % C,
        "learning_rates": np.array([0.1, 0.05]),
        **{f"logits_{k}": draw.normal(size=(N, C)).astype(np.float32) for k in (2, 7)},
        **{f"activations_{k}": draw.normal(size=(N, D)).astype(np.float32) for k in (2, 7)},
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def reference(seed: int = 1) -> dict[str, npt.NDArray[Any]]:
    draw = np.random.default_rng(seed)
    return {
        "reference_labels": np.arange(M) % C,
        **{f"reference_logits_{k}": draw.normal(size=(M, C)).astype(np.float32) for k in (2, 7)},
        **{f"reference_activations_{k}": draw.normal(size=(M, D)).astype(np.float32) for k in (2, 7)},
    }


def tensors(arrays: dict[str, npt.NDArray[Any]], **metadata: Any) -> bytes:
    return save(arrays, metadata={name: json.dumps(value) for name, value in metadata.items()})


def test_safetensors_become_one_row_a_sample_with_the_reference_as_a_split(take: Take) -> None:
    arrays = recording() | reference()
    outcome = take(tensors(arrays, classes=CLASSES), "run.safetensors")
    assert outcome.found.modality == "trace"
    assert outcome.found.splits == {"train": N, "reference": M}
    assert outcome.found.classes == CLASSES
    assert outcome.labels == [CLASSES[k] for k in [*arrays["labels"], *arrays["reference_labels"]]]
    known = outcome.found.recording
    assert known is not None
    assert (known.epochs, known.learning_rates, known.width, known.shared) == ([2, 7], [0.1, 0.05], D, False)
    for name in ("logits_2", "logits_7", "activations_2", "activations_7"):
        expected = np.concatenate([arrays[name], arrays[f"reference_{name}"]])
        assert np.array_equal(np.array(outcome.column(name), np.float32), expected)


def test_an_npz_of_stacked_checkpoints_means_the_same_as_one_array_each(take: Take) -> None:
    arrays = recording()
    stacked = {kind: np.stack([arrays[f"{kind}_2"], arrays[f"{kind}_7"]]) for kind in ("logits", "activations")}
    names = np.array(CLASSES)[arrays["labels"]]
    rates = arrays["learning_rates"]
    outcome = take(npz_of(labels=names, classes=np.array(CLASSES), learning_rates=rates, **stacked), "run.npz")
    assert outcome.labels == names.tolist()
    assert outcome.found.recording is not None
    assert outcome.found.recording.epochs == [1, 2]
    for k, epoch in ((2, 1), (7, 2)):
        assert np.array_equal(np.array(outcome.column(f"logits_{epoch}"), np.float32), arrays[f"logits_{k}"])
        assert np.array_equal(np.array(outcome.column(f"activations_{epoch}"), np.float32), arrays[f"activations_{k}"])


def test_activations_that_never_change_are_stored_once(take: Take) -> None:
    arrays = recording(activations_2=None, activations_7=None, activations=np.ones((N, D), np.float16))
    outcome = take(tensors(arrays), "run.safetensors")
    assert outcome.found.recording is not None
    assert outcome.found.recording.shared
    assert outcome.kinds.keys() == {"activations", "logits_2", "logits_7"}
    assert outcome.found.classes == ["0", "1", "2"]


def test_what_enters_the_layer_before_is_kept_of_the_first_and_the_last_checkpoint(take: Take) -> None:
    arrays = recording(inner_2=np.ones((N, 6), np.float32), inner_3=np.ones((N, 6), np.float32))
    assert "inner_2" in (kinds := take(tensors(arrays), "run.safetensors").kinds)
    assert "inner_3" not in kinds


def test_ids_name_the_samples_and_must_differ(take: Take) -> None:
    names = [f"img/{row}.png" for row in range(N)]
    assert take(tensors(recording(), ids=names), "run.safetensors").table["id"] == names
    assert take(npz_of(**recording(), ids=np.array(names)), "run.npz").table["id"] == names
    assert take(tensors(recording()), "run.safetensors").table["id"][3] == "row-3"
    with pytest.raises(Invalid, match=r"ids must be unique, but row 0 of labels and row 11 of labels"):
        take(tensors(recording(), ids=[*names[:-1], names[0]]), "run.safetensors")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labels": None}, "the array labels is missing: one label for each of the 12 rows"),
        ({"labels": np.arange(11) % 3}, r"labels has shape \(11,\); \(12,\) is expected"),
        ({"labels": np.arange(12) % 4}, r"labels, row 3: 3 is no column of logits, which have 3: 0 to 2"),
        ({"labels": np.arange(12) / 4}, r"labels, row 1: 0\.25 is no whole number. Soft and missing"),
        ({"labels": np.zeros(12, np.int64)}, "all labels are of one class"),
        ({"logits_7": np.zeros((12, 4), np.float32)}, r"logits_7 has shape \(12, 4\); \(12, 3\) is expected"),
        ({"logits_2": np.zeros((12, 3), np.int32)}, "logits_2 holds int32; floating-point numbers are expected"),
        ({"activations_7": None}, "the array activations_7 is missing; logits has checkpoint 7"),
        ({"activations_7": np.zeros((12, 5), np.float32)}, r"activations_7 has shape \(12, 5\); \(12, 4\) is expected"),
        ({"activations_2": np.zeros((12, 2, 2), np.float32)}, r"activations_2 has shape \(12, 2, 2\)"),
        ({"learning_rates": None}, "the array learning_rates is missing: one for each checkpoint"),
        ({"learning_rates": np.array([0.1])}, r"learning_rates has shape \(1,\); \(2,\) is expected"),
        ({"learning_rates": np.array([0.1, 0.0])}, "the learning rate of checkpoint 7 is 0; it must be above 0"),
        ({"reference_labels": np.arange(5) % 3}, "the array reference_logits_2 is missing"),
        ({"inner_2": np.zeros((3, 6), np.float32)}, r"inner_2 has shape \(3, 6\); \(12, 6\) is expected"),
        ({"logits": np.zeros((2, 12, 3), np.float32)}, "give logits or logits_1, …, not both"),
    ],
)
def test_an_array_of_another_size_is_named_with_the_shape_that_is_expected(
    take: Take, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(Invalid, match=message):
        take(tensors(recording(**changes)), "run.safetensors")
    with pytest.raises(Invalid, match=message):
        take(npz_of(**recording(**changes)), "run.npz")


def test_a_number_that_is_not_finite_is_named_by_checkpoint_and_row(take: Take) -> None:
    arrays = recording()
    arrays["activations_7"][9, 2] = np.nan
    with pytest.raises(Invalid, match="checkpoint 7, row 9: activations of activations_7 has a number that is not"):
        take(tensors(arrays), "run.safetensors")
    arrays = recording(logits_2=np.full((N, C), 1e300))
    with pytest.raises(Invalid, match="checkpoint 2, row 0: logits"):
        take(tensors(arrays), "run.safetensors")
    arrays = recording() | reference()
    arrays["reference_logits_2"][4, 0] = -np.inf
    with pytest.raises(Invalid, match="checkpoint 2, row 4: logits of reference_logits_2"):
        take(tensors(arrays), "run.safetensors")


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a", "b"], "classes has 2 names, but logits have 3 columns"),
        (["a", "b", "a "], "classes must be names that differ; 'a' is there 2 times"),
        ("abc", "the metadata classes must be a JSON list"),
    ],
)
def test_class_names_must_fit_the_columns_of_the_logits(take: Take, classes: Any, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        take(tensors(recording(), classes=classes), "run.safetensors")


def test_arrays_without_a_meaning_are_named(take: Take) -> None:
    outcome = take(tensors(recording(activation_9=np.ones(3))), "run.safetensors")
    assert [one.detail for one in outcome.found.warnings if one.code == "ignored_arrays"] == [
        "these arrays are not read: activation_9"
    ]


class Evil:
    """A pickle that would leave a trace of its own."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", ["run.safetensors", "run.npz", "run.csv", "run.pt"])
def test_pickles_are_refused_by_their_content_and_never_loaded(take: Take, tmp_path: Path, name: str) -> None:
    touched = tmp_path / "touched"
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(UnreadableType, match="a pickle, which can run any code"):
            take(pickle.dumps(Evil(touched), protocol), name)
    saved = io.BytesIO()
    torch.save({"logits_1": Evil(touched)}, saved)
    with pytest.raises(UnreadableType, match="a pickle, which can run any code"):
        take(saved.getvalue(), name)
    objects: Any = np.empty((N, C), object)
    objects[0, 0] = Evil(touched)
    with pytest.raises(Malformed, match="'logits_2' holds pickled Python objects, which are never loaded"):
        take(npz_of(**recording(logits_2=objects)), name)
    assert not touched.exists()


@pytest.mark.parametrize(
    ("entry", "message"),
    [
        ({"dtype": "F32", "shape": [12, 3], "data_offsets": [0, 140]}, "'logits_1' is cut short"),
        ({"dtype": "F32", "shape": [12, 3], "data_offsets": [4000, 4144]}, "'logits_1' is cut short"),
        ({"dtype": "F32", "shape": [-12, -3], "data_offsets": [0, 144]}, "must be whole numbers"),
        ({"dtype": "F32", "shape": [12, 3]}, "neither dtype, shape nor data_offsets"),
        ({"dtype": "BF16", "shape": [12, 3], "data_offsets": [0, 72]}, "is of type BF16, which is not read"),
        (7, "neither dtype, shape nor data_offsets"),
    ],
)
def test_a_safetensors_header_that_lies_is_refused(take: Take, entry: Any, message: str) -> None:
    header = json.dumps({"logits_1": entry}).encode()
    with pytest.raises(Malformed, match=message):
        take(struct.pack("<Q", len(header)) + header + bytes(144), "run.safetensors")


_PEAK = """
import resource, sys
from pathlib import Path
from service.domain.dataset import DatasetSpec
from service.ingest import Limits, ingest
folder = Path(sys.argv[1])
found = ingest(folder / "in", "run", DatasetSpec(), folder / "data", folder / "skipped", Limits())
print(found.rows, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)
"""


def peak(folder: Path, rows: int) -> int:
    """The most memory, in MiB, that a process of its own needs for so many samples, 8 KB each."""
    draw = np.random.default_rng(0)
    arrays = {
        "labels": np.arange(rows) % 8,
        "learning_rates": np.full(4, 0.1),
        "logits": draw.random((4, rows, 8), np.float32),
        "activations": draw.random((4, rows, 504), np.float32),
    }
    (folder / "in").write_bytes(tensors(arrays))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    told = subprocess.run([sys.executable, "-c", _PEAK, folder], capture_output=True, check=True, env=environment)
    return int(told.stdout.split()[1])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    """Five times the samples, 32 MB against 160 MB, cost less than 25 MiB more."""
    assert peak(tmp_path, 20_000) - peak(tmp_path, 4_000) < 25


def test_a_state_of_a_model_is_no_recording(take: Take) -> None:
    with pytest.raises(Invalid, match="a recorded training, with labels, logits, activations and learning_rates"):
        take(tensors({"head.weight": np.ones((3, 4))}), "model.safetensors")
