"""Out-of-sample predictions: labels, probabilities and features of every sample, as safetensors or NPZ."""

import json
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from safetensors.numpy import save

from service.domain.errors import Invalid, Malformed
from service.ingest import Limits
from tests.unit.ingest.uploads import Take, npz_of

N, M, D, C = 12, 5, 4, 3
CLASSES = ["cat", "dog", "eel"]

Arrays = dict[str, npt.NDArray[Any]]


def predictions(seed: int = 0, **changes: Any) -> Arrays:
    """With features; a change of None takes an array away."""
    draw = np.random.default_rng(seed)
    arrays = {
        "labels": np.arange(N) % C,
        "pred_probs": draw.dirichlet(np.ones(C), N),
        "features": draw.normal(size=(N, D)),
        **changes,
    }
    return {name: array for name, array in arrays.items() if array is not None}


def reference(seed: int = 1) -> Arrays:
    draw = np.random.default_rng(seed)
    return {
        "reference_labels": np.arange(M) % C,
        "reference_pred_probs": draw.dirichlet(np.ones(C), M),
        "reference_features": draw.normal(size=(M, D)),
    }


def tensors(arrays: Arrays, **metadata: Any) -> bytes:
    return save(arrays, metadata={name: json.dumps(value) for name, value in metadata.items()})


def changed(row: int, *values: float) -> Arrays:
    """The probabilities of one row in place of others."""
    arrays = predictions()
    arrays["pred_probs"][row] = values
    return arrays


def test_predictions_become_one_row_a_sample_with_the_reference_as_a_split(take: Take) -> None:
    arrays = predictions() | reference()
    outcome = take(tensors(arrays, classes=CLASSES), "predictions.safetensors")
    assert outcome.found.modality == "predictions"
    assert outcome.found.splits == {"train": N, "reference": M}
    assert outcome.labels == [CLASSES[k] for k in [*arrays["labels"], *arrays["reference_labels"]]]
    assert outcome.kinds == {"pred_probs": "embedding", "features": "embedding"}
    for name in ("pred_probs", "features"):
        expected = np.concatenate([arrays[name], arrays[f"reference_{name}"]]).astype(np.float32)
        assert np.allclose(np.array(outcome.column(name), np.float32), expected, atol=1e-7)


def test_an_npz_means_the_same_as_safetensors(take: Take) -> None:
    arrays = predictions()
    packed = take(tensors(arrays, classes=CLASSES), "predictions.safetensors").table
    assert take(npz_of(**arrays, classes=np.array(CLASSES)), "predictions.npz").table == packed
    named = arrays | {"labels": np.array(CLASSES)[arrays["labels"]]}
    assert take(npz_of(**named, classes=np.array(CLASSES)), "predictions.npz").table == packed


def test_names_without_classes_are_columns_in_the_order_of_numpy_unique(take: Take) -> None:
    names = np.array(["10", "9", "b"])
    labels = names[np.arange(N) % C]
    outcome = take(npz_of(**predictions(labels=labels)), "predictions.npz")
    assert outcome.found.classes == np.unique(labels).tolist() == ["10", "9", "b"]
    assert outcome.labels == labels.tolist()
    assert "classes_sorted" in outcome.codes
    with pytest.raises(Invalid, match="labels hold 2 names, but pred_probs have 3 columns; add the array classes"):
        take(npz_of(**predictions(labels=np.array(["a", "b"])[np.arange(N) % 2])), "predictions.npz")


def test_features_are_optional_and_equal_predictions_are_no_repeated_samples(take: Take) -> None:
    alike = np.tile([0.25, 0.5, 0.25], (N, 1))
    outcome = take(npz_of(**predictions(features=None, pred_probs=alike)), "predictions.npz")
    assert outcome.kinds == {"pred_probs": "embedding"}
    assert "repeated_rows" not in outcome.codes
    whole = np.ones((N, D), np.int64)
    assert "repeated_rows" in take(npz_of(**predictions(features=whole, pred_probs=alike)), "predictions.npz").codes


def test_ids_name_the_samples_and_must_differ(take: Take) -> None:
    names = [f"img/{row}.png" for row in range(N)]
    assert take(tensors(predictions(), ids=names), "predictions.safetensors").table["id"] == names
    assert take(npz_of(**predictions(), ids=np.array(names)), "predictions.npz").table["id"] == names
    with pytest.raises(Invalid, match="ids must be unique, but row 0 of labels and row 11 of labels"):
        take(tensors(predictions(), ids=[*names[:-1], names[0]]), "predictions.safetensors")


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.float64])
def test_rows_that_sum_to_one_but_for_rounding_are_made_to(take: Take, kind: Any) -> None:
    rounded = predictions()["pred_probs"].round(2).astype(kind)
    found = np.array(take(npz_of(**predictions(pred_probs=rounded)), "predictions.npz").column("pred_probs"))
    assert np.allclose(found.sum(1), 1, atol=1e-6)
    assert np.allclose(found, rounded, atol=0.02)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (changed(7, 0.5, 0.7, 0.3), "pred_probs, row 7: the probabilities sum to 1.5; each row must be probabilities"),
        (changed(7, 0.5, -0.1, 0.6), "pred_probs, row 7: -0.1 is no probability; .* of logits give the softmax"),
        (changed(11, 1.2, -0.1, -0.1), "pred_probs, row 11: 1.2 is no probability"),
        (changed(0, 0.5, np.nan, 0.5), "pred_probs, row 0: has a number that is missing, infinite or too large"),
        (predictions(features=np.full((N, D), 1e300)), "features, row 0: has a number that is missing, infinite"),
        (predictions(labels=None), "the array labels is missing: one label for each of the 12 rows of pred_probs"),
        (predictions(labels=np.arange(11) % 3), r"labels has shape \(11,\); \(12,\) is expected"),
        (predictions(labels=np.arange(12) % 4), "labels, row 3: 3 is no column of pred_probs, which have 3: 0 to 2"),
        (predictions(labels=np.arange(12) / 4), r"labels, row 1: 0\.25 is no whole number. Soft and missing"),
        (predictions(labels=np.zeros(12, np.int64)), "all labels are of one class"),
        (predictions(pred_probs=np.ones(N)), r"pred_probs has shape \(12,\); samples x classes, a column for each"),
        (predictions(pred_probs=np.eye(N, C, dtype=np.int64)), "pred_probs holds int64; floating-point numbers are"),
        (predictions(features=np.ones((3, D))), r"features has shape \(3, 4\); \(12, 4\) is expected"),
        (predictions(features=np.ones((N, 2, 2))), r"features has shape \(12, 2, 2\); samples x numbers are expected"),
        (predictions(reference_labels=np.arange(M) % C), "the array reference_pred_probs is missing"),
        (
            predictions(reference_pred_probs=reference()["reference_pred_probs"]),
            "the array reference_labels is missing: one label for each of the 5 rows of reference_pred_probs",
        ),
        (
            predictions() | {name: array for name, array in reference().items() if "features" not in name},
            "the array reference_features is missing",
        ),
        (predictions(features=None) | reference(), "the array features is missing, but reference_features is there"),
        (
            predictions() | reference() | {"reference_pred_probs": np.full((M, C), 0.4)},
            "reference_pred_probs, row 0: the probabilities sum to 1.2",
        ),
    ],
)
def test_what_is_wrong_is_named_by_array_and_row(take: Take, arrays: Arrays, message: str) -> None:
    for content, name in ((tensors(arrays), "p.safetensors"), (npz_of(**arrays), "p.npz")):
        with pytest.raises(Invalid, match=message) as refused:
            take(content, name)
        assert refused.value.errors[0].loc[0] == "file"


@pytest.mark.parametrize(
    ("classes", "message"),
    [
        (["a", "b"], "classes has 2 names, but pred_probs have 3 columns"),
        (["a", "b", "a "], "classes must be names that differ; 'a' is there 2 times"),
    ],
)
def test_class_names_must_fit_the_columns(take: Take, classes: list[str], message: str) -> None:
    with pytest.raises(Invalid, match=message):
        take(tensors(predictions(), classes=classes), "predictions.safetensors")


def test_there_may_be_no_more_columns_than_classes_are_allowed(take: Take) -> None:
    with pytest.raises(Invalid, match="3 classes; the limit is 2"):
        take(npz_of(**predictions()), "predictions.npz", Limits(max_classes=2))


def test_arrays_without_a_meaning_are_named(take: Take) -> None:
    outcome = take(npz_of(**predictions(), pred_prob=np.ones(3)), "predictions.npz")
    assert [one.detail for one in outcome.found.warnings if one.code == "ignored_arrays"] == [
        "these arrays are not read: pred_prob"
    ]


def test_another_modality_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="the arrays of the file are read as predictions; leave it out"):
        take(npz_of(**predictions()), "predictions.npz", modality="embedding")


def test_pickles_in_an_npz_are_never_loaded(take: Take) -> None:
    with pytest.raises(Malformed, match="'labels' holds pickled Python objects"):
        take(npz_of(**predictions(labels=np.array(["cat", None] * 6, object))), "predictions.npz")


def test_features_without_predictions_are_embeddings(take: Take) -> None:
    arrays = {"labels": np.array([3, 10, 20])[np.arange(N) % C], "features": predictions()["features"]}
    known = {name: array for name, array in reference().items() if name == "reference_features"}
    outcome = take(tensors(arrays | known | {"reference_labels": np.full(M, 10)}), "features.safetensors")
    assert outcome.found.modality == "embedding"
    assert outcome.found.classes == ["3", "10", "20"]
    assert outcome.found.splits == {"train": N, "reference": M}
    assert outcome.labels == [*map(str, arrays["labels"]), *["10"] * M]
    assert "no_pred_probs" in outcome.codes
    assert np.allclose(outcome.table["embedding"][:N], arrays["features"])
    named = take(npz_of(labels=np.arange(N) % C, classes=np.array(CLASSES), features=arrays["features"]), "f.npz")
    assert named.labels == [CLASSES[row % C] for row in range(N)]
    with pytest.raises(Invalid, match=r"labels, row 1: 0\.5 is no whole number"):
        take(npz_of(labels=np.arange(N) / 2, features=arrays["features"]), "features.npz")
