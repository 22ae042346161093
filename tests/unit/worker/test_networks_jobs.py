"""Jobs on networks that clients uploaded: exported programs, and weights for a network of the table."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from service.domain.errors import Invalid
from service.domain.specs import JobSpec
from service.store.blobs import NETWORK_FILE
from tests.builders import dataset_info, job_spec
from tests.unit.worker.canonical import canonical, encoded
from tests.unit.worker.networks import SIDE
from tests.unit.worker.programs import export, made, sample
from tests.unit.worker.test_backbones_jobs import whole_job
from worker.backbones import BackboneContext, FeatureCache
from worker.data.canonical import Canonical
from worker.job.preparation import prepare
from worker.models import head

pytestmark = pytest.mark.slow  # trains

ROWS = 36
NETWORK = "net_1"


@pytest.fixture
def passes() -> list[float]:
    """Filled by every pass of a frozen part."""
    return []


@pytest.fixture
def backbones(tmp_path: Path, passes: list[float]) -> BackboneContext:
    (tmp_path / "networks" / NETWORK).mkdir(parents=True)
    return BackboneContext(
        tmp_path / "models",
        tmp_path / "networks",
        FeatureCache(tmp_path / "features", 10**9),
        tmp_path / "scratch",
        on_progress=passes.append,
    )


def place(backbones: BackboneContext) -> Path:
    """Where the uploaded network lies."""
    return backbones.networks / NETWORK / NETWORK_FILE


def images(path: Path) -> Canonical:
    generator = np.random.default_rng(0)
    pictures = [
        encoded(np.clip(generator.normal(60 + 60 * (row % 3), 30, (SIDE, SIDE, 3)), 0, 255).astype(np.uint8))
        for row in range(ROWS)
    ]
    return canonical(path, "image", {"picture": ("image", pictures)})


def table(path: Path, missing: int | None = None) -> Canonical:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(ROWS, 5)) + np.arange(ROWS)[:, None] % 3
    columns: dict[str, tuple[str, Any]] = {f"c{n}": ("numeric", rows[:, n].tolist()) for n in range(4)}
    columns["c4"] = ("boolean", (rows[:, 4] > 1).tolist())
    if missing is not None:
        columns["c2"][1][missing] = None
    return canonical(path, "tabular", columns)


def embeddings(path: Path) -> Canonical:
    generator = np.random.default_rng(0)
    rows = generator.normal(size=(ROWS, 5)) + np.arange(ROWS)[:, None] % 3
    return canonical(path, "embedding", {"x": ("embedding", rows.astype(np.float32).tolist())})


def spec_of(modality: str, name: str = "exported", params: dict[str, Any] | None = None, **options: Any) -> JobSpec:
    own = {"network": NETWORK} if name in ("exported", "safetensors") else {}
    return job_spec(
        dataset_info(rows=ROWS, modality=modality, splits={"train": ROWS}),
        model={"name": name, "params": {**own, **(params or {})}},
        **{"training": {"epochs": 3, "batch_size": 8, "learning_rate": 0.002}, **options},
    )


def test_a_program_s_job_on_images_is_a_probe_on_what_enters_its_last_layer(
    backbones: BackboneContext, tmp_path: Path
) -> None:
    network: Any = made("small")
    export(network, sample("small"), place(backbones))
    dataset = images(tmp_path / "data.parquet")
    mean, deviation = [0.5, 0.4, 0.3], [0.2, 0.25, 0.5]
    spec = spec_of("image", params={"pixel_mean": mean, "pixel_deviation": deviation})
    _, outcome = whole_job(spec, dataset, backbones, tmp_path / "ours")
    pixels = [np.asarray(dataset.image(row, value, _read)) for row, value in enumerate(_encoded(dataset))]
    seen = torch.from_numpy(np.stack(pixels)).float() / 255
    seen = (seen - torch.tensor(mean).view(1, 3, 1, 1)) / torch.tensor(deviation).view(1, 3, 1, 1)
    with torch.no_grad():
        entered = network.activations(seen)
    found = canonical(tmp_path / "e.parquet", "embedding", {"x": ("embedding", entered.tolist())})
    plain = job_spec(
        dataset_info(rows=ROWS, modality="embedding", splits={"train": ROWS}),
        model={"name": "linear_probe"},
        training=spec.training.model_dump(),
    )
    _, wanted = whole_job(plain, found, backbones, tmp_path / "theirs")
    for name in ("mislabeled", "si", "mi", "loss"):
        ours, theirs = outcome.table[name].to_numpy(), wanted.table[name].to_numpy()
        assert np.allclose(ours, theirs, rtol=1e-3, atol=1e-3), name


def _encoded(dataset: Canonical) -> list[Any]:
    return [value for batch in dataset.batches(["image"]) for value in batch.column(0)]


def _read(encoded: bytes) -> Any:
    from worker.data.pixels import Frame, pixels

    return pixels(encoded, Frame(3, SIDE, SIDE))


@pytest.mark.parametrize("make", [table, embeddings])
def test_a_program_is_given_numbers_as_they_are(make: Any, backbones: BackboneContext, tmp_path: Path) -> None:
    network: Any = made("table")
    export(network, sample("table"), place(backbones))
    dataset = make(tmp_path / "data.parquet")
    spec = spec_of(dataset.header.modality, params={"layer": "1"})
    columns = [f"f{n}" for n in range(5)] if dataset.header.modality == "tabular" else ["embedding"]
    rows = torch.tensor(
        [
            [float(one) for one in values] if len(columns) > 1 else list(values[0])
            for batch in dataset.batches(columns)
            for values in zip(*(batch.column(name).to_pylist() for name in columns), strict=True)
        ]
    )
    with torch.no_grad():
        entered = network[0](rows)
    prepared = prepare(spec, dataset, None, backbones=backbones)
    standard = (entered - entered.mean(0)) / entered.std(0, unbiased=False)
    torch.testing.assert_close(prepared.inputs[0], standard, rtol=1e-3, atol=1e-3)
    assert prepared.frozen is prepared.inputs[0]


def test_a_missing_number_names_its_column(backbones: BackboneContext, tmp_path: Path) -> None:
    export(made("table"), sample("table"), place(backbones))
    with pytest.raises(Invalid, match="c2 has a value that is missing"):
        prepare(spec_of("tabular"), table(tmp_path / "data.parquet", missing=17), None, backbones=backbones)


def test_the_program_runs_once_for_all_jobs_on_the_same_samples(
    backbones: BackboneContext, passes: list[float], tmp_path: Path
) -> None:
    export(made("table"), sample("table"), place(backbones))
    dataset = table(tmp_path / "data.parquet")
    prepare(spec_of("tabular"), dataset, None, backbones=backbones)
    assert passes[-1] == 1.0
    passes.clear()
    prepare(spec_of("tabular", training={"seed": 1}, params={"head": "mlp"}), dataset, None, backbones=backbones)
    assert passes == []
    prepare(spec_of("tabular", params={"layer": "1"}), dataset, None, backbones=backbones)
    assert passes


def test_a_program_that_is_trained_whole_goes_on_after_its_worker_died(
    backbones: BackboneContext, tmp_path: Path
) -> None:
    export(made("small"), sample("small"), place(backbones))
    dataset = images(tmp_path / "data.parquet")
    spec = spec_of("image", params={"trainable_blocks": "all"})
    prepared, straight = whole_job(spec, dataset, backbones, tmp_path / "straight")
    _, resumed = whole_job(spec, dataset, backbones, tmp_path / "resumed", stop_after=2)
    assert straight.table.equals(resumed.table)
    before = dict(prepare(spec, dataset, None, backbones=backbones).model.named_parameters())
    moved = {name for name, value in prepared.model.named_parameters() if not torch.equal(value, before[name])}
    assert moved == set(before)


def test_glitches_are_planted_in_what_a_program_is_given(backbones: BackboneContext, tmp_path: Path) -> None:
    export(made("table"), sample("table"), place(backbones))
    spec = spec_of("tabular", glitches=[{"kind": "anomalous_extreme", "rate": 0.1}])
    prepared = prepare(spec, table(tmp_path / "data.parquet"), None, backbones=backbones)
    plain = prepare(spec_of("tabular"), table(tmp_path / "data.parquet"), None, backbones=backbones)
    changed = (prepared.inputs[0] != plain.inputs[0]).any(1).tolist()
    assert changed == [kind is not None for kind in prepared.planted.kinds]
    assert any(changed)


ARCHITECTURES: list[tuple[str, Any, str, dict[str, Any]]] = [
    ("tabular", table, "tabm", {"members": 4, "numeric_embeddings": "piecewise_linear"}),
    ("image", images, "resnet20", {"width": 4}),
    ("embedding", embeddings, "mlp_probe", {"width": 7}),
]


def state_spec(modality: str, architecture: str, params: dict[str, Any], **options: Any) -> JobSpec:
    given = {"architecture": architecture, "params": params, **options}
    return spec_of(modality, "safetensors", given)


@pytest.mark.parametrize(("modality", "make", "architecture", "params"), ARCHITECTURES)
def test_training_goes_on_from_uploaded_weights(
    modality: str, make: Any, architecture: str, params: dict[str, Any], backbones: BackboneContext, tmp_path: Path
) -> None:
    dataset = make(tmp_path / "data.parquet")
    spec = spec_of(modality, architecture, {})
    plain = spec.model_copy(update={"model": spec.model.model_copy(update={"params": {**spec.model.params, **params}})})
    trained, _ = whole_job(plain, dataset, backbones, tmp_path / "first")
    weights = {name: value.contiguous() for name, value in trained.model.state_dict().items()}
    save_file(weights, place(backbones))
    started = prepare(state_spec(modality, architecture, params), dataset, None, backbones=backbones)
    assert all(torch.equal(value, weights[name]) for name, value in started.model.state_dict().items())
    _, straight = whole_job(state_spec(modality, architecture, params), dataset, backbones, tmp_path / "straight")
    assert "trained_before" in [one["code"] for one in straight.result["warnings"]]
    _, resumed = whole_job(
        state_spec(modality, architecture, params), dataset, backbones, tmp_path / "resumed", stop_after=1
    )
    assert straight.table.equals(resumed.table)


def test_a_new_last_layer_is_drawn_where_it_is_asked_for(backbones: BackboneContext, tmp_path: Path) -> None:
    dataset = embeddings(tmp_path / "data.parquet")
    model = prepare(spec_of("embedding", "mlp_probe", {}), dataset, None, backbones=backbones).model
    weights = {name: torch.full_like(value, 0.5) for name, value in model.state_dict().items()}
    (name,) = [name for name, module in model.named_modules() if module is head(model)]
    weights[f"{name}.weight"] = torch.ones(17, head(model).in_features)
    weights[f"{name}.bias"] = torch.ones(17)
    save_file(weights, place(backbones))
    with pytest.raises(Invalid, match=rf"{name}\.weight is \(17, .*head: new"):
        prepare(state_spec("embedding", "mlp_probe", {}), dataset, None, backbones=backbones)
    started = prepare(state_spec("embedding", "mlp_probe", {}, head="new"), dataset, None, backbones=backbones).model
    for part, value in started.state_dict().items():
        last = part.startswith(f"{name}.")
        assert torch.equal(value, model.state_dict()[part] if last else weights[part]), part


def test_a_new_last_layer_may_be_the_whole_network(backbones: BackboneContext, tmp_path: Path) -> None:
    dataset = embeddings(tmp_path / "data.parquet")
    model = prepare(spec_of("embedding", "linear_probe", {}), dataset, None, backbones=backbones).model
    save_file({"weight": torch.ones(17, 5), "bias": torch.ones(17)}, place(backbones))
    started = prepare(state_spec("embedding", "linear_probe", {}, head="new"), dataset, None, backbones=backbones).model
    assert all(torch.equal(value, model.state_dict()[name]) for name, value in started.state_dict().items())


@pytest.mark.parametrize("broken", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_named(broken: float, backbones: BackboneContext, tmp_path: Path) -> None:
    dataset = embeddings(tmp_path / "data.parquet")
    model = prepare(spec_of("embedding", "mlp_probe", {}), dataset, None, backbones=backbones).model
    weights = dict(model.state_dict())
    first = next(iter(weights))
    weights[first] = torch.full_like(weights[first], broken)
    save_file(weights, place(backbones))
    with pytest.raises(Invalid, match=f"{first} has numbers that are not finite"):
        prepare(state_spec("embedding", "mlp_probe", {}), dataset, None, backbones=backbones)


def test_weights_of_another_network_are_refused_and_named(backbones: BackboneContext, tmp_path: Path) -> None:
    dataset = embeddings(tmp_path / "data.parquet")
    model = prepare(spec_of("embedding", "mlp_probe", {}), dataset, None, backbones=backbones).model
    weights = dict(model.state_dict())
    first = next(iter(weights))
    weights["stranger"] = weights.pop(first)
    save_file(weights, place(backbones))
    with pytest.raises(Invalid, match=f"it lacks {first}; it has stranger") as caught:
        prepare(state_spec("embedding", "mlp_probe", {}), dataset, None, backbones=backbones)
    assert caught.value.errors[0].loc == ["model", "params", "network"]


def test_a_program_s_width_must_be_that_of_the_data(backbones: BackboneContext, tmp_path: Path) -> None:
    export(made("table"), sample("table"), place(backbones))
    wide = canonical(
        tmp_path / "wide.parquet", "embedding", {"x": ("embedding", np.eye(ROWS, 9, dtype=np.float32).tolist())}
    )
    with pytest.raises(Invalid, match="takes 5 numbers a sample, and the dataset has 9"):
        prepare(spec_of("embedding"), wide, None, backbones=replace(backbones))
