"""NPZ files whose arrays are called as medmnist, scikit-learn and others call them."""

from typing import Any

import numpy as np
import pytest

from service.domain.errors import Invalid, Malformed
from tests.unit.ingest.uploads import Take, npz_of

RNG = np.random.default_rng(3)
KIND = np.arange(12) % 3
TABLE = RNG.normal(size=(12, 2))
SCANS = RNG.integers(0, 256, (12, 9, 7, 3), dtype=np.uint8)


def test_images_by_split_have_labels_in_a_column(take: Take) -> None:
    arrays = {
        f"{part}_{what}": values[:count]
        for part, count in (("train", 12), ("val", 6), ("test", 3))
        for what, values in (("images", SCANS), ("labels", KIND.astype(np.uint8)[:, None]))
    }
    outcome = take(npz_of(**arrays), "scans.npz")
    assert outcome.found.splits == {"test": 3, "train": 12, "validation": 6}
    assert outcome.found.modality == "image"
    assert outcome.labels[:3] == ["0", "1", "2"]
    assert "ignored_arrays" not in outcome.codes


@pytest.mark.parametrize(
    ("samples", "labels"),
    [("X", "Y"), ("data", "target"), ("images", "labels"), ("Data", "Labels"), ("inputs", "targets"), ("x", "label")],
)
def test_samples_and_labels_are_found_by_their_usual_names(take: Take, samples: str, labels: str) -> None:
    outcome = take(npz_of(**{samples: TABLE, labels: KIND}), "a.npz")
    assert outcome.labels == [str(kind) for kind in KIND]
    assert outcome.column("x1") == TABLE[:, 1].tolist()


@pytest.mark.parametrize("form", ["{word}_{part}", "{part}_{word}", "{part}{word}", "{word}{part}"])
@pytest.mark.parametrize(("x", "y"), [("x", "y"), ("data", "target")])
def test_splits_are_found_before_and_behind_the_name(take: Take, form: str, x: str, y: str) -> None:
    arrays = {
        form.format(word=word, part=part): values
        for part in ("train", "test")
        for word, values in ((x, TABLE), (y, KIND))
    }
    assert take(npz_of(**arrays), "a.npz").found.splits == {"test": 12, "train": 12}


def test_names_of_columns_and_classes_are_used(take: Take) -> None:
    names = {"feature_names": np.array(["height (cm)", "y"]), "target_names": np.array(["oak", "NA", "elm"])}
    outcome = take(npz_of(data=TABLE, target=np.where(np.arange(12) == 5, -1, KIND), **names), "a.npz")
    assert list(outcome.kinds) == ["height (cm)", "y.1"]
    assert set(outcome.found.classes) >= {"oak", "elm"}
    assert 5 in [row.index for row in outcome.skipped]


def test_a_label_without_a_name_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="target holds 3, and target_names has the names of 0 to 2"):
        take(npz_of(data=TABLE, target=KIND + 1, target_names=np.array(["a", "b", "c"])), "a.npz")


def test_arrays_that_are_not_read_are_told_pickles_among_them(take: Take) -> None:
    frame: Any = np.array(None, dtype=object)
    outcome = take(npz_of(data=TABLE, target=KIND, frame=frame, scales=np.ones(3)), "a.npz")
    (told,) = (one.detail for one in outcome.found.warnings if one.code == "ignored_arrays")
    assert ("frame" in told, "scales" in told) == (True, True)
    with pytest.raises(Malformed, match="'target' holds pickled"):
        take(npz_of(data=TABLE, target=np.array(list("abc" * 4), dtype=object)), "a.npz")


def test_labels_of_several_classes_each_are_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="several labels"):
        take(npz_of(train_images=SCANS, train_labels=np.eye(12, 4)), "a.npz")
