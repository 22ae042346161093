"""Named arrays that were made to harm: texts that nobody can keep, headers that are bombs, shapes without numbers."""

import io
import json
import struct
import tracemalloc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save

from service.domain.errors import Invalid, Malformed, SuspectsError, TooLarge
from service.ingest import Limits
from tests.unit.ingest.uploads import Take, npz_of, zip_of

N = 12
EVEN = np.full((N, 3), 1 / 3)
TEXTS = np.array(["a", "b", "c"] * 4)
X = np.arange(24.0).reshape(N, 2)
TWO = np.array([0.1, 0.1])


def run(**changes: Any) -> dict[str, Any]:
    """A recorded training of two checkpoints; a change of None takes an array away."""
    arrays = {
        "labels": np.arange(N) % 3,
        "learning_rates": TWO,
        "logits": np.zeros((2, N, 3), np.float32),
        "activations": np.ones((N, 2), np.float32),
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def raw(header: Any, data: bytes = b"") -> bytes:
    """A safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def npy(descr: str, shape: tuple[int, ...], data: bytes = b"") -> bytes:
    """A NumPy file with any header."""
    file = io.BytesIO()
    np.lib.format.write_array_header_1_0(file, {"descr": descr, "fortran_order": False, "shape": shape})
    return file.getvalue() + data


def zipped(arrays: dict[str, npt.NDArray[Any]], **odd: bytes) -> bytes:
    """An NPZ of arrays, some of them as bytes."""
    plain = {}
    for name, array in arrays.items():
        file = io.BytesIO()
        np.save(file, array)
        plain[f"{name}.npy"] = file.getvalue()
    return zip_of(plain | {f"{name}.npy": content for name, content in odd.items()})


def code_points(*values: int) -> bytes:
    """Twelve texts of one character each, the first ones any number."""
    return struct.pack(f"<{N}I", *values, *[ord("a") + place % 3 for place in range(N - len(values))])


PREDICTED = {"labels": np.arange(N) % 3, "pred_probs": EVEN}


@pytest.mark.parametrize(
    "header",
    [
        {"odd \ud800": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"odd \0": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}},
        {"pred_probs": {"dtype": ["F32"], "shape": [1], "data_offsets": [0, 4]}},
        {"pred_probs": {"dtype": {}, "shape": [1], "data_offsets": [0, 4]}},
        {"pred_probs": {"dtype": "F32", "shape": [2**64, 0], "data_offsets": [0, 0]}},
        {"pred_probs": {"dtype": "F32", "shape": [2] * 50 + [0], "data_offsets": [0, 0]}},
        {"__metadata__": {"classes": "\udfff"}},
        b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
    ids=["surrogate", "nul", "dtype list", "dtype map", "axis", "axes", "metadata", "depth"],
)
def test_a_header_that_cannot_be_kept_or_read_is_malformed(take: Take, header: Any) -> None:
    with pytest.raises(Malformed):
        take(raw(header, bytes(4)), "a.safetensors")


@pytest.mark.parametrize("name", ["classes", "ids"])
@pytest.mark.parametrize(
    "names", [["a\ud800", *"bcdefghijklm"], ["a\0b", *"bcdefghijklm"], [["a"]], "[" * 100_000, '[{"a":' * 100_000]
)
def test_metadata_that_cannot_be_kept_or_read_is_named(take: Take, name: str, names: Any) -> None:
    told = names if isinstance(names, str) else json.dumps(names)
    with pytest.raises(Invalid, match=f"metadata {name}"):
        take(save(PREDICTED, metadata={name: told}), "a.safetensors")


@pytest.mark.parametrize("points", [(0x110000,), (0xD800,), (0xDFFF,)])
@pytest.mark.parametrize("name", ["labels", "ids", "classes"])
def test_characters_that_do_not_exist_are_refused_with_the_array(
    take: Take, name: str, points: tuple[int, ...]
) -> None:
    odd = npy("<U1", (N,), code_points(*points))
    arrays = {one: array for one, array in PREDICTED.items() if one != name}
    with pytest.raises(Invalid, match=f"{name}"):
        take(zipped(arrays, **{name: odd}), "a.npz")


@pytest.mark.parametrize("points", [(0x110000,), (0xD800,)])
@pytest.mark.parametrize("name", ["y", "id", "split"])
def test_the_same_holds_of_samples_and_labels(take: Take, name: str, points: tuple[int, ...]) -> None:
    arrays = {one: array for one, array in {"x": X, "y": TEXTS}.items() if one != name}
    with pytest.raises(Invalid, match=f"^(array )?{name}"):
        take(zipped(arrays, **{name: npy("<U1", (N,), code_points(*points))}), "a.npz")


def test_a_nul_within_a_text_is_refused_with_the_array(take: Take) -> None:
    odd = np.array(["a\0b", *TEXTS[1:]])
    for arrays, name in (
        ({**PREDICTED, "labels": odd}, "labels"),
        ({**PREDICTED, "ids": odd}, "ids"),
        ({**PREDICTED, "ids": odd.astype("S")}, "ids"),
        ({"x": X, "y": odd}, "y"),
    ):
        with pytest.raises(Invalid, match=rf"array {name}, entry 0: 'a\\x00b' holds a NUL character"):
            take(npz_of(**arrays), "a.npz")


@pytest.mark.parametrize("kind", ["<U0", "|S0", "|V0"])
@pytest.mark.parametrize("name", ["labels", "ids", "y"])
def test_an_array_of_empty_entries_is_refused_with_its_name(take: Take, name: str, kind: str) -> None:
    arrays = {"x": X} if name == "y" else {one: array for one, array in PREDICTED.items() if one != name}
    with pytest.raises(Malformed, match=f"'{name}' holds"):
        take(zipped(arrays, **{name: npy(kind, (N,))}), "a.npz")


def test_ids_of_several_columns_are_refused(take: Take) -> None:
    with pytest.raises(Invalid, match=r"id has shape \(12, 2\); one entry a row is expected"):
        take(npz_of(x=X, y=TEXTS, id=np.ones((N, 2))), "a.npz")


@pytest.mark.parametrize("shape", [(0, N, 3), (2, 0, 3), (2, N, 0), (10**6, 0, 3), (10**6, N, 0), (2**62, 0, 3)])
@pytest.mark.parametrize("name", ["logits", "activations"])
def test_checkpoints_without_numbers_are_refused_before_there_is_one_array_each(
    take: Take, name: str, shape: tuple[int, ...]
) -> None:
    content = zipped(run(**{name: None}), **{name: npy("<f4", shape)})
    entry = {"dtype": "F32", "shape": list(shape), "data_offsets": [0, 0]}
    length, rest = struct.unpack("<Q", (saved := save(run(**{name: None})))[:8])[0], saved[8:]
    header = json.loads(rest[:length]) | {name: entry}
    for upload in (content, raw(header, rest[length:])):
        tracemalloc.start()
        with pytest.raises(Invalid, match=f"{name} has shape"):
            take(upload, "a")
        assert tracemalloc.get_traced_memory()[1] < 10 * 2**20
        tracemalloc.stop()


def test_there_may_be_no_more_checkpoints_than_columns_are_allowed(take: Take) -> None:
    with pytest.raises(Invalid, match="logits has 2 checkpoints; the limit is 1"):
        take(npz_of(**run()), "a.npz", Limits(max_columns=5))
    assert take(npz_of(**run()), "a.npz", Limits(max_columns=6)).found.recording is not None


@pytest.mark.parametrize("item", [b"[],", b"{},", b'"",', b'{"a":1},', b"1000,"])
def test_a_header_that_is_a_bomb_is_refused_before_it_is_built(take: Take, item: bytes) -> None:
    bomb = b'{"logits_1":[' + item * (12 * 2**20 // len(item)) + b"0]}"
    content = raw(bomb)
    tracemalloc.start()
    with pytest.raises(TooLarge, match="the header of the safetensors file has more than 3,145,728 bytes"):
        take(content, "a.safetensors")
    assert tracemalloc.get_traced_memory()[1] < 80 * 2**20
    tracemalloc.stop()
    with pytest.raises(TooLarge, match="the limit is 16,777,216: give ids as an array"):
        take(raw(b'{"a":"' + b"a" * 2**24 + b'"}'), "a.safetensors")


def test_many_long_ids_in_the_header_are_no_bomb(take: Take) -> None:
    ids = [f'{row:06} "{"long " * 12_000}"' for row in range(200)]
    arrays = {"labels": np.arange(200) % 3, "pred_probs": np.full((200, 3), 1 / 3)}
    assert take(save(arrays, metadata={"ids": json.dumps(ids)}), "a.safetensors").table["id"] == ids


def test_many_labels_are_counted_before_they_are_compared(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    names = np.array([f"name {row}" for row in range(40_000)])
    monkeypatch.setattr("service.ingest.readers.predicted.check_classes", None)  # nobody gets there
    for arrays in ({"features": np.ones((40_000, 1))}, {"pred_probs": np.ones((40_000, 1))}):
        with pytest.raises(Invalid, match="40,000 classes; the limit is 10,000"):
            take(npz_of(labels=names, **arrays), "a.npz")


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"logits": None, "logits_12345678901": np.ones((N, 3))}, "needs the arrays x and y"),
        ({"learning_rates": np.array(["0.1", "0.1"])}, "learning_rates holds <U3; numbers are expected"),
        ({"learning_rates": np.zeros(2, "f4,f4")}, "learning_rates holds .*; numbers are expected"),
        ({"learning_rates": np.array([0.1, 1e300])}, r"of checkpoint 2 is 1e\+300; it must be above 0, from"),
        ({"learning_rates": np.array([1e-300, 0.1])}, "of checkpoint 1 is 1e-300; it must be above 0, from"),
        ({"learning_rates": np.array([np.nan, 0.1])}, "of checkpoint 1 is nan; it must be above 0, from"),
        ({"activations": np.full((N, 2), 1e37, np.float32)}, r"row 0: activations .* is larger than 1e\+12"),
        ({"inner_2": np.full((N, 2), -1e37, np.float32)}, r"checkpoint 2, row 0: inner .* is larger than 1e\+12"),
        ({"reference_labels": np.array(0)}, "the array reference_logits_1 is missing"),
    ],
)
def test_what_no_training_records_is_refused_by_name(take: Take, arrays: dict[str, Any], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        take(npz_of(**run(**arrays)), "a.npz")


def test_only_activations_without_a_number_are_those_of_all_checkpoints(take: Take) -> None:
    logits = {f"logits_{epoch}": np.zeros((N, 3), np.float32) for epoch in (1, 5)}
    entered = np.ones((N, 2), np.float32)
    with pytest.raises(Invalid, match="the array activations_1 is missing; logits has checkpoint 1"):
        take(npz_of(**run(logits=None, activations=None, activations_0=entered, **logits)), "a.npz")
    only = run(logits=None, activations=None, activations_0=entered, logits_0=logits["logits_1"])
    outcome = take(npz_of(**only | {"learning_rates": TWO[:1]}), "a.npz")
    assert outcome.kinds.keys() == {"logits_0", "activations_0"}


def test_an_array_without_an_axis_is_refused(take: Take) -> None:
    for arrays in ({**PREDICTED, "pred_probs": np.array(0.5)}, {"labels": np.arange(N), "features": np.array(0.5)}):
        with pytest.raises(Invalid):
            take(save(arrays), "a.safetensors")


@pytest.mark.parametrize(
    ("arrays", "modality", "column"),
    [
        (run(), "trace", "logits_1"),
        (PREDICTED, "predictions", "pred_probs"),
        ({"labels": np.arange(N) % 3, "features": X}, "embedding", "features"),
    ],
)
def test_all_arrays_are_used_so_that_none_can_be_chosen(
    take: Take, arrays: dict[str, Any], modality: str, column: str
) -> None:
    specs: list[dict[str, list[str]]] = [{"features": [column]}, {"features": []}, {"exclude": [column]}]
    for spec in specs:
        with pytest.raises(SuspectsError, match=f"the arrays of {modality} are all used") as refused:
            take(npz_of(**arrays), "a.npz", **spec)
        assert refused.value.errors[0].loc == ["spec", *spec]
    assert take(npz_of(**arrays), "a.npz").found.inferred.id is None
    assert take(npz_of(**arrays, ids=np.arange(N)), "a.npz").found.inferred.id == "id"
