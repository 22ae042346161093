"""Out-of-sample predictions are ranked by what they say, with nothing made up for what they do not."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import torch
from safetensors.numpy import save_file
from torch import Tensor

from service.domain.dataset import DatasetInfo, DatasetSpec
from service.domain.errors import Invalid
from service.domain.resolve import resolve
from service.domain.signal import SIGNALS
from service.domain.specs import JobOptions
from service.ingest import Limits, ingest
from tests.builders import dataset_info
from worker.data.canonical import Canonical, open_canonical
from worker.data.standard import Standard
from worker.job.measuring import measure
from worker.job.predictions import measure_predictions
from worker.job.ranking import RankingResult, rank
from worker.job.recorded import open_recording, read_vectors
from worker.serving.inference import restore_model
from worker.signals.blend import mixture_weight
from worker.signals.confident import odds_of_error
from worker.signals.formulas import compute
from worker.signals.measurements import Measurements
from worker.signals.ranks import rank as ranks
from worker.signals.summaries import detection
from worker.training.loop import TrainingState

N, M, C, D = 600, 240, 3, 6
BARE = [name for name, signal in SIGNALS.items() if signal.predictions]
FOLLOWED = {name for name, signal in SIGNALS.items() if signal.training}

Arrays = dict[str, npt.NDArray[Any]]


def predictions(rows: int = N, known: int = 0, wrong: int = 60, seed: int = 0) -> tuple[Arrays, npt.NDArray[np.int64]]:
    """Overlapping classes and the likelihoods of each; the labels of the first rows are wrong. And the right ones."""
    draw = np.random.default_rng(seed)
    centres = 2 * np.eye(C, D)
    truth = np.arange(rows + known) % C
    x = centres[truth] + draw.normal(size=(rows + known, D))
    logits = x @ centres.T
    probable = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    labels = truth.copy()
    labels[:wrong] = (truth[:wrong] + 1) % C
    whole = {"labels": labels, "pred_probs": probable.astype(np.float32), "features": x.astype(np.float32)}
    found = {name: array[:rows] for name, array in whole.items()}
    if known:
        found |= {f"reference_{name}": array[rows:] for name, array in whole.items()}
    return found, truth[:rows]


def bare(arrays: Arrays) -> Arrays:
    return {name: array for name, array in arrays.items() if "features" not in name}


def stored(arrays: Arrays, folder: Path) -> tuple[DatasetInfo, Canonical]:
    """The dataset that an upload of the arrays becomes."""
    folder.mkdir(exist_ok=True)
    path = folder / "upload.safetensors"
    save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, path)
    found = ingest(path, path.name, DatasetSpec(), folder / "data", folder / "skipped", Limits())
    info = dataset_info(**{name: getattr(found, name) for name in found.__dataclass_fields__})
    return info, open_canonical(folder / "data")


def ranked(arrays: Arrays, folder: Path, **options: Any) -> RankingResult:
    """By predictions, or where there are logits as a recorded training."""
    info, dataset = stored(arrays, folder)
    spec = resolve(JobOptions.model_validate(options), info)
    if info.modality == "predictions":
        samples, scored = measure_predictions(spec, dataset, folder / "scratch", lambda _share: None)
        return rank(samples, spec, scored, dataset)
    played = open_recording(spec, dataset, folder / "scratch")
    scored = measure(played.samples, spec, played.train, played.reference, lambda _share: None)
    return rank(played.samples, spec, scored, dataset)


def scores(outcome: RankingResult, name: str) -> Tensor:
    return torch.from_numpy(outcome.table[name].to_numpy().copy())


def as_recorded(dataset: Canonical) -> Arrays:
    """One checkpoint of a linear layer: logarithms, and features on the scale that embeddings have."""
    classes, prefixes = len(dataset.header.classes), {"train": "", "reference": "reference_"}
    parts = {split: torch.tensor([one == split for one in dataset.splits]).nonzero().squeeze(1) for split in prefixes}
    x = matrix(dataset, "features", parts["train"], D).double().numpy()
    standard = Standard.fit(lambda: iter([x]))
    found: Arrays = {"learning_rates": np.ones(1)}
    for split, rows in parts.items():
        if len(rows):
            found[f"{prefixes[split]}labels"] = dataset.labels[rows].numpy()
            found[f"{prefixes[split]}logits_1"] = matrix(dataset, "pred_probs", rows, classes).log().numpy()
            features = matrix(dataset, "features", rows, D).double().numpy()
            found[f"{prefixes[split]}activations_1"] = standard.apply(features).astype(np.float32)
    return found


def matrix(dataset: Canonical, column: str, rows: Tensor, width: int) -> Tensor:
    found = torch.empty(len(rows), width)
    read_vectors(found, dataset, column, rows)
    return found


@pytest.mark.parametrize("known", [0, M])
def test_what_both_define_is_that_of_a_recorded_training_of_log_probabilities(tmp_path: Path, known: int) -> None:
    arrays, _ = predictions(known=known)
    options = {"reference": {"split": "reference"}} if known else {}
    found = ranked(arrays, tmp_path / "found", **options)
    expected = ranked(as_recorded(open_canonical(tmp_path / "found" / "data")), tmp_path / "expected", **options)
    names = found.result["signals"]
    assert set(names) == set(expected.result["signals"]) - FOLLOWED
    assert ("remoteness" in names) == bool(known)
    for name in (name for name in names if name != "mislabeled"):
        assert torch.equal(scores(found, name), scores(expected, name)), name
    # Which only weighs its neighbours by what they are worth.
    assert float((ranks(scores(found, "mislabeled")) - ranks(scores(expected, "mislabeled"))).abs().mean()) < 0.1


def test_predictions_alone_give_what_they_define_and_nothing_else(tmp_path: Path) -> None:
    arrays, _ = predictions()
    found = ranked(bare(arrays), tmp_path)
    assert found.result["signals"] == BARE
    assert set(found.table.column_names) & SIGNALS.keys() == set(BARE)
    assert set(found.evidence) == {"positions", "loss", "margin"}
    assert not {"groups", "proposals"} & set(found.summaries)
    codes = {one["code"] for one in found.result["warnings"]}
    assert codes - {"rough_estimate"} == {"no_training", "no_features"}
    anomalous = found.result["estimates"]["anomalous"]
    assert {**anomalous, "reason": ""} == {"status": "unknown", "count": 0, "low": None, "high": None, "reason": ""}
    assert "features" in anomalous["reason"]
    probable = torch.from_numpy(arrays["pred_probs"])
    labels = torch.from_numpy(arrays["labels"])
    own = probable.gather(1, labels[:, None]).squeeze(1)
    others = probable.scatter(1, labels[:, None], -1).amax(1)
    assert torch.allclose(scores(found, "confidence").float(), -own, atol=1e-6)
    suspicion = ranks(others.log() - own.log()) + ranks(odds_of_error(probable, labels))
    assert float((ranks(scores(found, "mislabeled")) - ranks(suspicion)).abs().max()) < 0.01


def test_of_two_classes_the_order_is_that_of_the_self_confidence(tmp_path: Path) -> None:
    arrays, _ = predictions()
    two = arrays["labels"] < 2
    probable = arrays["pred_probs"][two, :2]
    given = {"labels": arrays["labels"][two], "pred_probs": probable / probable.sum(1, keepdims=True)}
    found = ranked(given, tmp_path)
    assert float((ranks(scores(found, "mislabeled")) - ranks(scores(found, "confidence"))).abs().max()) < 0.01


@pytest.mark.parametrize("features", [False, True])
def test_the_order_of_the_rows_is_of_no_account(tmp_path: Path, features: bool) -> None:
    arrays, _ = predictions(rows=300, wrong=30)
    arrays = arrays if features else bare(arrays)
    order = np.random.default_rng(1).permutation(300)
    found = ranked(arrays, tmp_path / "found")
    again = ranked({name: array[order] for name, array in arrays.items()}, tmp_path / "again")
    for name in found.result["signals"]:
        one, two = found.table[name].to_numpy()[order], again.table[name].to_numpy()
        assert np.allclose(one, two, rtol=1e-3, atol=1e-4), name
    for name in ("suggested_label", "verdict", "given_label"):
        assert found.table[name].to_numpy()[order].tolist() == again.table[name].to_pylist()


@pytest.mark.parametrize("features", [False, True])
def test_a_wrong_label_makes_its_row_more_suspicious(tmp_path: Path, features: bool) -> None:
    arrays, _ = predictions(wrong=0)
    arrays = arrays if features else bare(arrays)
    sure = arrays["pred_probs"].max(1).argsort()[-5:]
    wrong = arrays | {"labels": arrays["labels"].copy()}
    wrong["labels"][sure] = (wrong["labels"][sure] + 1) % C
    before, after = ranked(arrays, tmp_path / "before"), ranked(wrong, tmp_path / "after")
    for name in ("mislabeled", "loss", "confidence", "el2n", *(["knn_vote", "si", "gd_class"] if features else [])):
        one, two = (ranks(scores(outcome, name))[sure] for outcome in (before, after))
        assert bool((two > one).all()), name
        assert float(two.min()) > 0.97, name


def test_neighbours_find_more_than_the_predictions_alone(tmp_path: Path) -> None:
    arrays, truth = predictions(rows=1_200, wrong=120)
    # Predictions of a poor model.
    noisy = arrays["pred_probs"] * np.exp(2 * np.random.default_rng(1).normal(size=(1_200, C)))
    arrays["pred_probs"] = (noisy / noisy.sum(1, keepdims=True)).astype(np.float32)
    planted = arrays["labels"] != truth
    alone, beside = (
        detection(ranked(given, tmp_path / place).table["mislabeled"].to_numpy(), planted)["average_precision"]
        for place, given in (("alone", bare(arrays)), ("beside", arrays))
    )
    assert beside > alone + 0.05


def test_features_that_say_nothing_change_little(tmp_path: Path) -> None:
    arrays, truth = predictions(rows=1_200, wrong=120)
    arrays["features"] = np.random.default_rng(1).normal(size=(1_200, D)).astype(np.float32)
    planted = arrays["labels"] != truth
    alone, beside = (
        detection(ranked(given, tmp_path / place).table["mislabeled"].to_numpy(), planted)["average_precision"]
        for place, given in (("alone", bare(arrays)), ("beside", arrays))
    )
    assert abs(beside - alone) < 0.01


def test_neighbours_weigh_twice_their_share_of_the_likeliest_blend(tmp_path: Path) -> None:
    info, dataset = stored(predictions()[0], tmp_path)
    _, scored = measure_predictions(resolve(JobOptions(), info), dataset, tmp_path / "scratch", lambda _share: None)
    m = scored.measurements
    assert isinstance(m, Measurements)
    assert m.unseen is not None
    own = [guess.gather(1, m.labels[:, None]).squeeze(1) for guess in (m.unseen.train, m.votes.mean)]
    share = mixture_weight(own[0], own[1], torch.full((N,), 1 / C))
    assert 0.05 < share < 0.95
    others = m.votes.mean.scatter(1, m.labels[:, None], -1).amax(1)
    odds = odds_of_error((1 - share) * m.unseen.train + share * m.votes.mean, m.labels)
    expected = (ranks(-m.dynamics.margin[0]) + ranks(odds) + 2 * share * ranks(others - own[1])) / (2 + 2 * share)
    assert torch.allclose(compute(m, ["mislabeled"])["mislabeled"], expected, atol=1e-3)


@pytest.mark.parametrize("features", [False, True])
@pytest.mark.parametrize("known", [0, M])
def test_wrong_labels_are_counted(tmp_path: Path, features: bool, known: int) -> None:
    arrays, truth = predictions(rows=1_500, known=known, wrong=150)
    arrays = arrays if features else bare(arrays)
    found = ranked(arrays, tmp_path / "wrong", **({"reference": {"split": "reference"}} if known else {}))
    estimate = found.result["estimates"]["mislabeled"]
    assert abs(estimate["count"] - 150) <= 45
    assert estimate["low"] <= 150 <= estimate["high"]
    flagged = np.array(found.table["verdict"].to_pylist()) == "mislabeled"
    assert flagged.sum() == estimate["count"]
    assert (arrays["labels"] != truth)[flagged].mean() > 0.65
    clean = ranked({**arrays, "labels": truth}, tmp_path / "clean")
    assert clean.result["estimates"]["mislabeled"]["count"] == 0


def test_what_predictions_get_wrong_of_verified_samples_too_is_not_held_against_the_labels(tmp_path: Path) -> None:
    arrays, _ = predictions(rows=1_200, known=400, wrong=0)
    # Of every tenth sample the models are sure of another class, whatever its label.
    for prefix in ("", "reference_"):
        misled = arrays[f"{prefix}pred_probs"].copy()
        misled[::10] = 1e-6 + (1 - 3e-6) * np.eye(C)[(arrays[f"{prefix}labels"][::10] + 1) % C]
        arrays[f"{prefix}pred_probs"] = misled.astype(np.float32)
    counts = []
    for place, trusted in (("unverified", False), ("verified", True)):
        found = ranked(bare(arrays), tmp_path / place, reference={"split": "reference", "trusted": trusted})
        counts.append(found.result["estimates"]["mislabeled"]["count"])
    assert counts[0] > 80
    assert counts[1] == 0


def test_a_trusted_reference_tells_anomalies_where_there_are_features(tmp_path: Path) -> None:
    arrays, _ = predictions(known=M, wrong=0)
    arrays["features"][-40:] = 30 + np.random.default_rng(2).normal(size=(40, D))
    found = ranked(arrays, tmp_path, reference={"split": "reference"})
    verdicts = np.array(found.table["verdict"].to_pylist())
    assert (verdicts[-40:] == "anomalous").mean() > 0.9
    assert (verdicts[:-40] == "anomalous").mean() < 0.02


def test_classes_of_no_probability_at_all_are_ranked_too(tmp_path: Path) -> None:
    arrays, _ = predictions()
    certain = np.eye(C, dtype=np.float32)[arrays["pred_probs"].argmax(1)]
    certain[:100] = 0.75 * certain[:100] + 0.25 * np.roll(certain[:100], 1, axis=1)
    for place, given in (("bare", bare(arrays)), ("features", arrays)):
        found = ranked({**given, "pred_probs": certain}, tmp_path / place)
        for name in found.result["signals"]:
            assert np.isfinite(found.table[name].to_numpy()).all(), name


def test_predictions_that_say_little_or_too_much_are_doubted(tmp_path: Path) -> None:
    arrays = bare(predictions()[0])
    seen = {**arrays, "pred_probs": np.eye(C, dtype=np.float32)[arrays["labels"]]}
    codes = {one["code"] for one in ranked(seen, tmp_path / "seen").result["warnings"]}
    assert "seen_samples" in codes
    weak = {**arrays, "pred_probs": np.eye(C, dtype=np.float32)[(arrays["labels"] + 1) % C]}
    codes = {one["code"] for one in ranked(weak, tmp_path / "weak").result["warnings"]}
    assert "weak_predictions" in codes


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({"training": {"epochs": 3}}, "training.epochs"),
        ({"training": {"checkpoints": 1}}, "training.checkpoints"),
        ({"training": {"class_weights": "balanced"}}, "training.class_weights"),
        ({"glitches": [{"kind": "duplicate"}]}, "glitches"),
        ({"loop": {"after": 3}}, "loop"),
        ({"influence": {"layers": "all"}}, "influence.layers"),
        ({"influence": {"estimator": "projected"}}, "influence.estimator"),
        ({"influence": {"columns": 7}}, "influence.columns"),
        ({"reference": {"holdout": 0.2}}, "reference.holdout"),
        ({"reference": {"dataset": "ds_2"}}, "reference.dataset"),
        ({"model": {"name": "mlp"}}, "model.name"),
        ({"signals": ["loss", "si"]}, "signals.1"),
        ({"signals": ["anomalous"]}, "signals.0"),
        ({"signals": ["aum"]}, "signals.0"),
    ],
)
def test_what_would_need_a_training_or_features_is_refused_by_name(
    tmp_path: Path, options: dict[str, Any], field: str
) -> None:
    info, _ = stored(bare(predictions()[0]), tmp_path)
    with pytest.raises(Invalid) as refused:
        resolve(JobOptions.model_validate(options), info)
    assert [".".join(map(str, one.loc)) for one in refused.value.errors] == [field]


def test_what_features_give_is_refused_without_them_and_what_a_training_gives_always(tmp_path: Path) -> None:
    info, _ = stored(predictions()[0], tmp_path)
    spec = resolve(JobOptions(), info)
    assert {"anomalous", "si", "knn_vote", "cnci"} <= set(spec.signals)
    assert not FOLLOWED & set(spec.signals)
    assert resolve(JobOptions.model_validate({"influence": {"columns": 7}}), info).influence.columns == 7
    for name in FOLLOWED:
        with pytest.raises(Invalid, match=f"{name}: it compares the checkpoints of a training"):
            resolve(JobOptions(signals=[name]), info)


def test_a_class_that_was_never_predicted_is_refused(tmp_path: Path) -> None:
    info, dataset = stored(predictions()[0], tmp_path)
    header = dataset.header.model_copy(update={"classes": [*dataset.header.classes, "fox"]})
    with pytest.raises(Invalid, match="the model of these predictions knows 3 classes and not fox; train and predict"):
        measure_predictions(
            resolve(JobOptions(), info), replace(dataset, header=header), tmp_path / "scratch", lambda _share: None
        )


def test_there_is_no_model_to_be_asked(tmp_path: Path) -> None:
    info, dataset = stored(predictions()[0], tmp_path)
    state = TrainingState(epoch=1, learning_rate=1.0, model={}, optimizer={})
    with pytest.raises(Invalid, match="these predictions were made elsewhere: there is no model here"):
        restore_model(resolve(JobOptions(), info), dataset, state.model)
