"""What the model of a job on a pretrained network says of samples: of those of its training, what it said at its end."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from service.domain.errors import Invalid
from service.domain.specs import JobSpec
from service.ingest.limits import Limits
from service.ingest.samples import write_samples
from tests.unit.worker.canonical import canonical
from tests.unit.worker.networks import WORDS, image_network, text_network
from tests.unit.worker.test_backbones_jobs import MADE, ROWS, spec_of
from worker.backbones import BackboneContext, FeatureCache, Preprocessing
from worker.backbones.image_reader import ImageReader
from worker.data.canonical import Canonical, open_canonical
from worker.job.preparation import fit, prepare
from worker.serving.inference import TrainedModel, probabilities, restore_model
from worker.training.loop import TrainingState

HELD = {"reference": {"holdout": 0.25}}  # so that the training part is not the whole dataset
PARTS: list[tuple[Any, dict[str, Any]]] = [
    (0, {"head": "linear"}),
    (0, {"head": "mlp", "width": 9, "dropout": 0.3}),
    (1, {"head": "linear"}),
    (2, {"head": "mlp", "width": 9}),
    ("all", {"head": "linear"}),
]


@pytest.fixture
def backbones(tmp_path: Path) -> BackboneContext:
    image_network("resnet", tmp_path / "models" / "resnet")
    text_network("bert", tmp_path / "models" / "bert")
    return BackboneContext(
        tmp_path / "models", tmp_path / "networks", FeatureCache(tmp_path / "features", 10**9), tmp_path / "scratch"
    )


def trained(
    spec: JobSpec, dataset: Canonical, backbones: BackboneContext, folder: Path
) -> tuple[TrainedModel, Tensor, Tensor]:
    """A model that was put away and restored; the training rows, and what it said of them when training ended."""
    states: list[TrainingState] = []
    prepared = prepare(spec, dataset, None, backbones=backbones)
    fit(prepared, spec, None, lambda state, _: states.append(state))
    assert prepared.preprocessing is not None
    prepared.preprocessing.save(folder / "footing.npz")
    states[-1].save(folder / "last.pt")
    with torch.inference_mode():
        told = torch.softmax(prepared.model.eval()(*prepared.inputs), 1)
    # Nothing of what was kept of the samples is needed any more.
    other = BackboneContext(
        backbones.models, backbones.networks, FeatureCache(folder / "nothing", 1), folder / "scratch"
    )
    state, preprocessing = TrainingState.load(folder / "last.pt"), Preprocessing.load(folder / "footing.npz")
    return restore_model(spec, dataset, state.model, backbones=other, preprocessing=preprocessing), prepared.rows, told


@pytest.mark.parametrize("modality", MADE)
@pytest.mark.parametrize(("trainable", "params"), PARTS)
def test_a_restored_model_says_of_its_training_samples_what_it_said_when_training_ended(
    modality: str, trainable: Any, params: dict[str, Any], backbones: BackboneContext, tmp_path: Path
) -> None:
    dataset = MADE[modality][0](tmp_path / "data.parquet")
    model, rows, told = trained(spec_of(modality, trainable, params, **HELD), dataset, backbones, tmp_path)
    found = probabilities(model, dataset)
    assert found.shape == (ROWS, 3)
    torch.testing.assert_close(found[rows], told, rtol=1e-4, atol=1e-5)
    assert float((told - told.mean(0)).abs().max()) > 0.01  # there is something to be told wrong


@pytest.mark.parametrize("trainable", [0, 1, "all"])
def test_samples_written_anew_and_in_another_order_are_read_as_training_read_them(
    trainable: Any, backbones: BackboneContext, tmp_path: Path
) -> None:
    # From one word to more than the network has positions: some are padded, some cut.
    lines = [" ".join(WORDS[(row + word) % len(WORDS)] for word in range(1 + row * row // 20)) for row in range(ROWS)]
    dataset = canonical(tmp_path / "data.parquet", "text", {"line": ("text", lines)})
    model, rows, told = trained(spec_of("text", trainable), dataset, backbones, tmp_path)
    assert torch.equal(rows, torch.arange(ROWS))
    turned = [{"line": line} for line in reversed(lines)]
    assert write_samples(dataset.path, turned, tmp_path / "new", Limits()) == list(range(ROWS))
    torch.testing.assert_close(
        probabilities(model, open_canonical(tmp_path / "new")).flip(0), told, rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("modality", MADE)
@pytest.mark.parametrize("trainable", [0, 1])
def test_what_is_said_of_a_sample_does_not_depend_on_its_company(
    modality: str, trainable: int, backbones: BackboneContext, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset = MADE[modality][0](tmp_path / "data.parquet")
    model, _, _ = trained(spec_of(modality, trainable), dataset, backbones, tmp_path)
    whole = probabilities(model, dataset)
    monkeypatch.setattr(f"worker.backbones.{'image_reader' if modality == 'image' else 'text_reader'}._TOGETHER", 5)
    monkeypatch.setattr("worker.backbones.image_reader._CHUNK", 7)
    torch.testing.assert_close(probabilities(model, dataset), whole, rtol=1e-4, atol=1e-5)


def test_the_larger_images_are_the_fewer_are_in_memory_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = MADE["image"][0](tmp_path / "data.parquet")
    monkeypatch.setattr("worker.backbones.image_reader._CHUNK_BYTES", 3 * 10_000)
    monkeypatch.setattr("worker.backbones.image_reader._TOGETHER_BYTES", 3 * 1_000)
    for side, chunk, together in ((10, ROWS, 10), (30, 11, 1), (70, 2, 1), (200, 1, 1)):
        pictures = ImageReader.plain(side, (0.0,) * 3, (1.0,) * 3)
        rows = torch.arange(0, ROWS)
        parts = list(pictures.chunks(dataset, rows))
        assert max(map(len, parts)) == chunk
        assert max(len(places) for places, _ in pictures.passes(parts[0], even=True)) == together
        alone = [pictures.chunks(dataset, rows[row : row + 1]) for row in range(ROWS)]
        assert torch.equal(torch.cat(parts), torch.cat([one for found in alone for one in found]))


def test_a_network_that_is_another_by_now_makes_no_predictions(backbones: BackboneContext, tmp_path: Path) -> None:
    dataset, states = MADE["image"][0](tmp_path / "data.parquet"), []
    prepared = prepare(spec_of("image"), dataset, None, backbones=backbones)
    fit(prepared, spec_of("image"), None, lambda state, _: states.append(state))
    image_network("convnext", backbones.models / "resnet")
    with pytest.raises(Invalid, match="resnet has changed since this job was trained"):
        restore_model(
            spec_of("image"), dataset, states[-1].model, backbones=backbones, preprocessing=prepared.preprocessing
        )
