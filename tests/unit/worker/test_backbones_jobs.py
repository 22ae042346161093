"""Jobs on pretrained networks: from a dataset to a ranking, with what the frozen part gave kept between them."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from service.domain.errors import Invalid, TooLarge
from service.domain.specs import JobSpec
from tests.builders import dataset_info, job_spec
from tests.unit.worker.canonical import canonical, encoded
from tests.unit.worker.networks import WORDS, image_network, text_network
from worker.backbones import BackboneContext, FeatureCache
from worker.backbones.frozen_backbone import FrozenBackbone
from worker.data.canonical import Canonical
from worker.data.glitches import plant
from worker.data.standard import Standard
from worker.job.preparation import PreparedJob, fit, prepare
from worker.job.ranking import RankingResult, rank
from worker.job.scoring import score
from worker.models import head
from worker.models.fine_tuned import FineTuned
from worker.training.loop import TrainingState, checkpoints, learning_rate

pytestmark = pytest.mark.slow  # trains

ROWS = 36


@pytest.fixture
def passes() -> list[float]:
    """Filled by every pass of a frozen part."""
    return []


@pytest.fixture
def backbones(tmp_path: Path, passes: list[float]) -> BackboneContext:
    image_network("resnet", tmp_path / "models" / "resnet")
    text_network("bert", tmp_path / "models" / "bert")
    return BackboneContext(
        tmp_path / "models",
        tmp_path / "networks",
        FeatureCache(tmp_path / "features", 10**9),
        tmp_path / "scratch",
        on_progress=passes.append,
    )


def images(path: Path, rows: int = ROWS, **options: Any) -> Canonical:
    generator = np.random.default_rng(0)
    pictures = [
        encoded(np.clip(generator.normal(60 + 60 * (row % 3), 30, (20 + row % 3, 24, 3)), 0, 255).astype(np.uint8))
        for row in range(rows)
    ]
    return canonical(path, "image", {"picture": ("image", pictures)}, **options)


def texts(path: Path, rows: int = ROWS, **options: Any) -> Canonical:
    generator = np.random.default_rng(0)
    lines = [" ".join(generator.choice(WORDS[row % 3 * 6 :][:8], 2 + row % 7)) for row in range(rows)]
    return canonical(path, "text", {"line": ("text", lines)}, **options)


MADE: dict[str, tuple[Callable[..., Canonical], str]] = {"image": (images, "resnet"), "text": (texts, "bert")}


def spec_of(modality: str, trainable: Any = 0, params: dict[str, Any] | None = None, **options: Any) -> JobSpec:
    model = {"backbone": MADE[modality][1], "trainable_blocks": trainable, **(params or {})}
    return job_spec(
        dataset_info(rows=ROWS, modality=modality, splits={"train": ROWS}),
        model={"name": f"pretrained_{modality}", "params": model},
        **{"training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.002}, **options},
    )


def whole_job(
    spec: JobSpec, dataset: Canonical, backbones: BackboneContext, folder: Path, *, stop_after: int | None = None
) -> tuple[PreparedJob, RankingResult]:
    """Prepare, train, score and rank; with `stop_after` another worker goes on after that epoch."""
    states: dict[int, TrainingState] = {}

    def keep(state: TrainingState, _metrics: object) -> None:
        state.save(folder / f"{state.epoch}.pt")
        states[state.epoch] = TrainingState.load(folder / f"{state.epoch}.pt")
        if state.epoch == stop_after and len(states) == stop_after:
            raise InterruptedError

    folder.mkdir()
    prepared = prepare(spec, dataset, None, backbones=backbones)
    try:
        fit(prepared, spec, None, keep)
    except InterruptedError:
        assert stop_after is not None
        prepared = prepare(spec, dataset, None, backbones=backbones)
        fit(prepared, spec, states[stop_after], keep)
    epochs = checkpoints(spec.training)
    rates = [learning_rate(spec.training, epoch) for epoch in epochs]
    scored = score(prepared, spec, rates, lambda t: states[epochs[t]].model, folder / "s", lambda _share: None)
    return prepared, rank(prepared, spec, scored, dataset)


@pytest.mark.parametrize("modality", MADE)
@pytest.mark.parametrize("kind", ["linear", "mlp"])
def test_a_frozen_network_is_a_probe_on_its_embeddings(
    modality: str, kind: str, backbones: BackboneContext, tmp_path: Path
) -> None:
    dataset = MADE[modality][0](tmp_path / "data.parquet")
    spec = spec_of(modality, params={"head": kind, "width": 9})
    front = FrozenBackbone(spec, dataset, backbones)
    (given,) = front.outputs(dataset, torch.arange(ROWS))
    (raw,) = [front.read_samples(dataset, torch.arange(ROWS))]
    torch.testing.assert_close(front.encode(raw)[0], given, rtol=1e-4, atol=1e-5)
    embeddings = canonical(tmp_path / "e.parquet", "embedding", {"x": ("embedding", given.tolist())})
    name = {"linear": "linear_probe", "mlp": "mlp_probe"}[kind]
    plain = job_spec(
        dataset_info(rows=ROWS, modality="embedding", splits={"train": ROWS}),
        model={"name": name, "params": {} if kind == "linear" else {"width": 9}},
        training=spec.training.model_dump(),
    )
    ours, outcome = whole_job(spec, dataset, backbones, tmp_path / "ours")
    theirs, wanted = whole_job(plain, embeddings, backbones, tmp_path / "theirs")
    assert torch.equal(ours.inputs[0], theirs.inputs[0])
    assert ours.frozen is not None
    assert outcome.table.equals(wanted.table)


@pytest.mark.parametrize("modality", MADE)
@pytest.mark.parametrize("trainable", [0, 1, "all"])
def test_the_frozen_part_runs_once_for_all_jobs_on_the_same_samples(
    modality: str, trainable: Any, backbones: BackboneContext, passes: list[float], tmp_path: Path
) -> None:
    make = MADE[modality][0]
    dataset = make(tmp_path / "data.parquet")
    first = prepare(spec_of(modality, trainable), dataset, None, backbones=backbones)
    assert passes[-1] == 1.0
    passes.clear()
    relabelled = make(tmp_path / "corrected.parquet", labels=[(row + row // 7) % 3 for row in range(ROWS)])
    assert [
        float(x.float().mean())
        for x in prepare(spec_of(modality, trainable), dataset, None, backbones=backbones).inputs
    ] == [float(x.float().mean()) for x in first.inputs]
    prepare(spec_of(modality, trainable, training={"seed": 5, "epochs": 1}), dataset, None, backbones=backbones)
    held = prepare(spec_of(modality, trainable, reference={"holdout": 0.25}), dataset, None, backbones=backbones)
    assert len(held.reference_inputs[0]) == ROWS // 4
    prepare(spec_of(modality, trainable, params={"head": "mlp"}), relabelled, None, backbones=backbones)
    assert passes == []


def test_other_samples_sizes_and_cuts_are_other_entries(
    backbones: BackboneContext, passes: list[float], tmp_path: Path
) -> None:
    dataset = images(tmp_path / "data.parquet")
    others = [
        (spec_of("image"), dataset),
        (spec_of("image", 1), dataset),
        (spec_of("image", params={"image_size": 48}), dataset),
        (spec_of("image"), images(tmp_path / "more.parquet", ROWS + 3)),
    ]
    for number, (spec, samples) in enumerate(others, 1):
        prepare(spec, samples, None, backbones=backbones)
        assert passes.count(1.0) == number


def test_a_frozen_job_that_finds_its_features_loads_no_network(
    backbones: BackboneContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = images(tmp_path / "data.parquet")
    prepare(spec_of("image"), dataset, None, backbones=backbones)
    monkeypatch.setattr("worker.backbones.loading.load_parts", None)
    monkeypatch.setattr("worker.backbones.loading.open_reader", None)
    prepare(spec_of("image"), dataset, None, backbones=backbones)


@pytest.mark.parametrize("modality", MADE)
@pytest.mark.parametrize("trainable", [0, 1])
def test_planted_anomalies_go_through_the_network_and_nothing_else_changes(
    modality: str, trainable: int, backbones: BackboneContext, tmp_path: Path
) -> None:
    dataset = MADE[modality][0](tmp_path / "data.parquet")
    plain = prepare(spec_of(modality, trainable), dataset, None, backbones=backbones)
    glitches = [{"kind": "anomalous_far_scattered", "rate": 0.2}, {"kind": "mislabeled_pair", "rate": 0.1}]
    spec = spec_of(modality, trainable, glitches=glitches)
    planted = prepare(spec, dataset, None, backbones=backbones)
    strange = torch.tensor([kind == "anomalous_far_scattered" for kind in planted.planted.kinds])
    assert int(strange.sum()) == round(0.2 * ROWS)
    for part, before in zip(planted.inputs, plain.inputs, strict=True):
        assert torch.equal(part[~strange], before[~strange])
    assert bool((planted.inputs[0] != plain.inputs[0])[strange].flatten(1).any(1).all())
    if modality == "image" and trainable == 0:
        # What they are made of says where they lie: smooth fields are alike to the network, photographs are not.
        front = FrozenBackbone(spec, dataset, backbones)
        raw = plant((front.read_samples(dataset, torch.arange(ROWS)),), dataset.labels, 3, spec.glitches or [])
        given = front.outputs(dataset, torch.arange(ROWS))[0].clone()
        standard = Standard.fit(lambda: iter([given.double().numpy()]))
        wanted = standard.apply(front.encode(raw.inputs[0])[0].double().numpy())
        np.testing.assert_allclose(planted.inputs[0][strange].numpy(), wanted[strange.numpy()], rtol=1e-3, atol=1e-4)
    assert (planted.planted.labels != dataset.labels).sum() >= round(0.1 * ROWS)


def test_planted_mislabels_read_no_sample_again(
    backbones: BackboneContext, passes: list[float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = images(tmp_path / "data.parquet")
    for trainable in (0, 1):
        plain = prepare(spec_of("image", trainable), dataset, None, backbones=backbones)
        monkeypatch.setattr(FrozenBackbone, "read_samples", None)
        for kind in ("mislabeled_uniform", "mislabeled_confusion"):
            planted = prepare(
                spec_of("image", trainable, glitches=[{"kind": kind}]), dataset, None, backbones=backbones
            )
            assert torch.equal(planted.inputs[0], plain.inputs[0])
            assert int(planted.planted.touched.sum()) == 4
        monkeypatch.undo()


def test_anomalies_that_would_not_fit_into_memory_are_refused(
    backbones: BackboneContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worker.backbones.frozen_backbone._LARGEST", 1_000)
    with pytest.raises(TooLarge, match="plant mislabels only"):
        prepare(
            spec_of("image", glitches=[{"kind": "duplicate"}]),
            images(tmp_path / "d.parquet"),
            None,
            backbones=backbones,
        )


@pytest.mark.parametrize(("modality", "trainable"), [("image", 1), ("text", 1), ("image", "all"), ("text", "all")])
def test_trained_blocks_are_trained_and_every_sample_is_ranked(
    modality: str, trainable: Any, backbones: BackboneContext, tmp_path: Path
) -> None:
    dataset = MADE[modality][0](tmp_path / "data.parquet")
    spec = spec_of(modality, trainable, glitches=[{"kind": "mislabeled_uniform"}])
    prepared, outcome = whole_job(spec, dataset, backbones, tmp_path / "job")
    assert isinstance(prepared.model, FineTuned)
    fresh = prepare(spec, dataset, None, backbones=backbones).model
    moved = [
        name
        for (name, before), after in zip(fresh.named_parameters(), prepared.model.parameters(), strict=True)
        if not torch.equal(before, after)
    ]
    assert any(name.startswith("body.") for name in moved)
    assert head(prepared.model) is prepared.model.probe
    assert outcome.table.num_rows == ROWS
    assert np.isfinite(outcome.table["mislabeled"].to_numpy()).all()


def test_a_job_that_another_worker_goes_on_with_ranks_the_same(backbones: BackboneContext, tmp_path: Path) -> None:
    dataset = images(tmp_path / "data.parquet")
    spec = spec_of("image", 1, glitches=[{"kind": "anomalous_shuffled"}])
    _, once = whole_job(spec, dataset, backbones, tmp_path / "once")
    _, twice = whole_job(spec, dataset, backbones, tmp_path / "twice", stop_after=1)
    assert once.table.equals(twice.table)


def test_influence_of_trained_layers_can_be_asked_for_by_name(backbones: BackboneContext, tmp_path: Path) -> None:
    dataset = images(tmp_path / "data.parquet")
    for layers in ("all", "last-2", ["body.parts.0.layer.1.convolution", "probe"]):
        spec = spec_of("image", 1, influence={"layers": layers})
        _, outcome = whole_job(spec, dataset, backbones, tmp_path / str(layers)[:9])
        assert np.isfinite(outcome.table["si"].to_numpy()).all()
    with pytest.raises(Invalid, match="no such module"):
        prepare(spec_of("image", 0, influence={"layers": ["body.parts.0"]}), dataset, None, backbones=backbones)


@pytest.mark.parametrize("trainable", [0, 1])
@pytest.mark.parametrize("modality", MADE)
def test_a_reference_dataset_is_read_as_the_training_set_is(
    modality: str, trainable: int, backbones: BackboneContext, tmp_path: Path
) -> None:
    make = MADE[modality][0]
    dataset, other = make(tmp_path / "data.parquet"), make(tmp_path / "reference.parquet", 6)
    spec = spec_of(modality, trainable, reference={"dataset": "ds_2"})
    prepared = prepare(spec, dataset, other, backbones=backbones)
    assert [part.shape[1:] for part in prepared.reference_inputs] == [part.shape[1:] for part in prepared.inputs]
    itself = prepare(spec, dataset, replace(dataset, path=dataset.path), backbones=backbones)
    assert all(map(torch.equal, itself.inputs, itself.reference_inputs))


def test_memory_does_not_hold_what_lies_in_files(backbones: BackboneContext, tmp_path: Path) -> None:
    prepared = prepare(spec_of("image", 1), images(tmp_path / "data.parquet"), None, backbones=backbones)
    maps = Path("/proc/self/maps").read_text()
    assert str(tmp_path / "features") in maps
    assert isinstance(prepared.inputs[0], Tensor)


def test_augmentation_of_what_is_run_once_is_refused() -> None:
    with pytest.raises(Invalid, match="run once") as caught:
        spec_of("image", 2, training={"augmentation": "flip_crop"})
    assert caught.value.errors[0].loc == ["training", "augmentation"]


def test_augmentation_of_what_is_trained_from_the_pixels_works(backbones: BackboneContext, tmp_path: Path) -> None:
    spec = spec_of("image", "all", training={"augmentation": "flip_crop", "epochs": 2, "learning_rate": 0.001})
    _, outcome = whole_job(spec, images(tmp_path / "data.parquet"), backbones, tmp_path / "job")
    assert outcome.table.num_rows == ROWS


def test_twelve_bits_are_seen_as_bright_as_the_dataset_says(tmp_path: Path, backbones: BackboneContext) -> None:
    generator = np.random.default_rng(0)
    deep = [generator.integers(0, 4096, (20, 24)).astype(np.uint16) for _ in range(ROWS)]
    plain = [np.round(picture / 4095 * 255).astype(np.uint8) for picture in deep]
    found = []
    for name, pictures, white in (("deep", deep, 4095.0), ("plain", plain, None), ("dark", deep, None)):
        columns = {"picture": ("image", [encoded(picture) for picture in pictures])}
        dataset = replace(canonical(tmp_path / f"{name}.parquet", "image", columns), white=white)
        found.append(prepare(spec_of("image"), dataset, None, backbones=backbones).inputs[0])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
