"""Arrays of samples and labels in NPZ."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from service.domain.errors import Invalid, Malformed, TooLarge
from service.ingest import Limits
from tests.unit.ingest.uploads import Take, npz_of, zip_of

Y = np.array([0, 1, 2] * 4, np.uint8)


def pixels(data: bytes) -> Any:
    """What a canonical image decodes to."""
    return np.asarray(Image.open(io.BytesIO(data)))


@pytest.mark.parametrize("dtype", ["<f8", "<f4", "<f2", ">f8", "<i2", ">i4", "u1", "<u8"])
def test_a_matrix_is_a_table(take: Take, dtype: str) -> None:
    x = np.arange(36).reshape(12, 3).astype(dtype)
    outcome = take(npz_of(x=x, y=Y), "a.npz")
    assert outcome.kinds == {"x0": "numeric", "x1": "numeric", "x2": "numeric"}
    assert outcome.column("x2") == x[:, 2].tolist()
    assert outcome.found.classes == ["0", "1", "2"]


def test_a_column_major_matrix_means_the_same(take: Take) -> None:
    x = np.arange(36.0).reshape(12, 3)
    assert take(npz_of(x=np.asfortranarray(x), y=Y), "a.npz").column("x1") == x[:, 1].tolist()


def test_a_wide_matrix_is_an_embedding_unless_told_otherwise(take: Take) -> None:
    x = np.random.default_rng(0).normal(size=(12, 130)).astype(np.float32)
    outcome = take(npz_of(x=x, y=Y), "a.npz")
    assert outcome.found.modality == "embedding"
    assert np.array_equal(np.array(outcome.table["embedding"], np.float32), x)
    assert len(take(npz_of(x=x, y=Y), "a.npz", modality="tabular").found.features) == 130
    assert take(npz_of(x=x[:, :5], y=Y), "a.npz", modality="embedding").kinds == {"x": "embedding"}


@pytest.mark.parametrize("shape", [(12, 6, 5), (12, 6, 5, 1), (12, 6, 5, 3), (12, 6, 5, 4), (12, 3, 6, 5)])
def test_three_and_four_dimensions_are_images(take: Take, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    outcome = take(npz_of(x=x, y=Y), "a.npz")
    assert outcome.found.modality == "image"
    expected = x.transpose(0, 2, 3, 1) if shape == (12, 3, 6, 5) else x
    decoded = np.stack([pixels(data) for data in outcome.table["image"]])
    assert np.array_equal(decoded, expected.reshape(decoded.shape))


@pytest.mark.parametrize(
    ("dtype", "top", "code"), [("f8", 1, "images_scaled"), ("f4", 255, "images_rounded"), ("i8", 255, "")]
)
def test_pixels_of_other_types_become_bytes(take: Take, dtype: str, top: int, code: str) -> None:
    whole = np.random.default_rng(0).integers(0, 256, (12, 6, 5))
    outcome = take(npz_of(x=(whole / 255 * top).astype(dtype), y=Y), "a.npz")
    if dtype != "i8":
        assert code in outcome.codes
        assert np.array_equal(pixels(outcome.table["image"][3]), whole[3])
    else:
        assert outcome.codes.isdisjoint({"images_scaled", "images_rounded"})


@pytest.mark.parametrize(("low", "high"), [(-1, 1), (0, 300)])
def test_pixels_beyond_bytes_are_refused(take: Take, low: float, high: float) -> None:
    x = np.linspace(low, high, 12 * 30).reshape(12, 6, 5)
    with pytest.raises(Invalid, match="pixels run from"):
        take(npz_of(x=x, y=Y), "a.npz")


def test_an_image_with_a_pixel_that_is_no_number_is_skipped(take: Take) -> None:
    x = np.random.default_rng(0).random((12, 6, 5))
    x[4, 2, 2] = np.nan
    outcome = take(npz_of(x=x, y=Y), "a.npz")
    assert [(row.index, row.where) for row in outcome.skipped] == [(4, "row 4 of x")]


def test_train_and_test_arrays_become_splits(take: Take) -> None:
    x = np.arange(36.0).reshape(12, 3)
    outcome = take(
        npz_of(x_train=x[:6], y_train=Y[:6], x_val=x[6:8], y_val=Y[6:8], x_test=x[8:], y_test=Y[8:]), "a.npz"
    )
    assert outcome.found.splits == {"test": 4, "train": 6, "validation": 2}
    assert outcome.table["index"] == list(range(12))
    assert outcome.column("x0") == x[:, 0].tolist()


def test_ids_and_splits_may_be_given(take: Take) -> None:
    ids, split = np.array([f"é{i}" for i in range(12)]), np.array(["train", "test"] * 6)
    outcome = take(npz_of(X=np.arange(24.0).reshape(12, 2), Y=Y, id=ids, split=split), "a.npz")
    assert outcome.table["id"] == ids.tolist()
    assert outcome.table["split"] == split.tolist()


@pytest.mark.parametrize(
    ("y", "classes"),
    [
        (np.array([1.0, 2.0] * 6), ["1", "2"]),
        (np.array(["b", "a"] * 6), ["a", "b"]),
        (np.array([b"b", b"a"] * 6), ["a", "b"]),
        (np.array([True, False] * 6), ["false", "true"]),
        (np.array([[1], [2]] * 6), ["1", "2"]),
    ],
)
def test_labels_of_any_type_are_classes(take: Take, y: Any, classes: list[str]) -> None:
    assert take(npz_of(x=np.arange(24.0).reshape(12, 2), y=y), "a.npz").found.classes == classes


def test_labels_that_are_not_finite_are_missing(take: Take) -> None:
    y = np.array([0, 1, np.nan] * 4)
    outcome = take(npz_of(x=np.arange(12.0), y=y), "a.npz")
    assert (outcome.found.rows, outcome.found.classes) == (8, ["0", "1"])


@pytest.mark.parametrize(
    ("arrays", "what"),
    [
        ({"x": np.zeros((12, 2))}, "y"),
        ({"y": Y}, "needs the arrays x and y"),
        ({"x": np.zeros((11, 2)), "y": Y}, "x has 11 rows but y has 12"),
        ({"x": np.zeros((12, 2)), "y": Y, "id": Y[:3]}, "id has 3"),
        ({"x": np.zeros((12, 2)), "y": np.eye(12)}, "several labels"),
        ({"x_train": np.zeros((12, 2)), "y_train": Y, "x_test": np.zeros((12, 2))}, "y_test"),
        ({"x_train": np.zeros((12, 2)), "y_train": Y, "x_test": np.zeros((12, 3)), "y_test": Y}, "differ in shape"),
        ({"x": np.array(["a"] * 12), "y": Y}, "numbers are needed"),
        ({"x": np.zeros((12, 2), complex), "y": Y}, "numbers are needed"),
        ({"x": np.zeros((12, 5, 5, 7)), "y": Y}, "shape"),
        ({"x": np.zeros((0, 2)), "y": Y[:0]}, "0 rows"),
        ({"x": np.zeros((12, 0)), "y": Y}, "nothing to learn"),
    ],
)
def test_arrays_that_do_not_fit_are_told(take: Take, arrays: dict[str, Any], what: str) -> None:
    with pytest.raises(Invalid, match=what):
        take(npz_of(**arrays), "a.npz")


class Trap:
    """Leaves a mark when it is unpickled."""

    sprung = False

    def __reduce__(self) -> tuple[Any, ...]:
        return (setattr, (Trap, "sprung", True))


@pytest.mark.parametrize("name", ["x", "y", "target_names", "other"])
def test_nothing_is_ever_unpickled(take: Take, name: str) -> None:
    arrays: dict[str, Any] = {"x": np.arange(12.0), "y": Y}
    arrays[name] = np.array([Trap()] * 12, object)
    if name == "other":
        assert "ignored_arrays" in take(npz_of(**arrays), "a.npz").codes
    else:
        with pytest.raises(Malformed, match="pickled"):
            take(npz_of(**arrays), "a.npz")
    assert not Trap.sprung


def test_arrays_that_are_damaged_are_told(take: Take) -> None:
    good = io.BytesIO()
    np.save(good, np.zeros((12, 3)))
    y = io.BytesIO()
    np.save(y, Y)
    for damaged in (good.getvalue()[:-50], b"\x93NUMPY\x01\x00", b"nonsense", b""):
        with pytest.raises(Malformed, match="x"):
            take(zip_of({"x.npy": damaged, "y.npy": y.getvalue()}), "a.npz")


def test_a_shape_may_say_true_for_one(take: Take) -> None:
    x, y = io.BytesIO(), io.BytesIO()
    np.save(y, Y[:1])
    header = b"{'descr': '<f8', 'fortran_order': True, 'shape': (True, 12), }\n"
    x.write(b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + bytes(96))
    with pytest.raises(Invalid, match="class"):  # one row has one
        take(zip_of({"x.npy": x.getvalue(), "y.npy": y.getvalue()}), "a.npz")


def test_arrays_that_expand_beyond_the_limit_are_refused(take: Take) -> None:
    with pytest.raises(TooLarge):
        take(npz_of(x=np.zeros((12, 1000)), y=Y), "a.npz", Limits(max_expanded_bytes=10_000))
