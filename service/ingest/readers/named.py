"""NPZ and safetensors files whose arrays have agreed names; nothing in them is unpickled."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from service.ingest.faults import invalid, listed
from service.ingest.readers.arrays import unpack
from service.ingest.readers.predicted import is_embedded, is_predicted, open_embedded, open_predicted
from service.ingest.readers.recorded import is_recorded, open_recorded
from service.ingest.readers.safetensors import open_tensors
from service.ingest.readers.vectors import LISTS, NamedArrays, parse_names, texts_of
from service.ingest.source import RowSource, Upload

_LONGEST_HEADER = 16 * 2**20  # bytes of a safetensors file, most of which are ids
_BAREST_HEADER = 3 * 2**20  # of them beside the texts: as many arrays as there may be columns


@dataclass(frozen=True)
class Meaning:
    """A kind of contents: how it is recognised by the names of arrays, and how it is opened."""

    takes: Callable[[Sequence[str]], bool]
    open: Callable[[NamedArrays], RowSource]


MEANINGS: dict[str, Meaning] = {
    "recorded training": Meaning(is_recorded, open_recorded),
    "out-of-sample predictions": Meaning(is_predicted, open_predicted),
    "embeddings": Meaning(is_embedded, open_embedded),
}


def meaning_of(names: Sequence[str]) -> str | None:
    """The kind of contents of arrays with these names, or None; the first that takes them."""
    return next((title for title, one in MEANINGS.items() if one.takes(names)), None)


def open_named_npz(upload: Upload) -> RowSource:
    """Read an NPZ file whose arrays have agreed names."""
    arrays = unpack(upload)
    title = meaning_of(list(arrays))
    if title is None:
        raise ValueError(f"{upload.name} has no arrays with a meaning")
    texts = {name: texts_of(arrays[name]) for name in LISTS if name in arrays}
    return MEANINGS[title].open(NamedArrays(f"{title}, npz, arrays {listed(list(arrays))}", arrays, texts, {}, upload))


def open_safetensors(upload: Upload) -> RowSource:
    """Read a safetensors file. Raises `Invalid` where its arrays are no samples."""
    arrays, metadata = open_tensors(upload.path, longest=_LONGEST_HEADER, barest=_BAREST_HEADER)
    title = meaning_of(list(arrays))
    if title is None:
        raise invalid(
            "a safetensors file of samples is a recorded training, with labels, logits, activations and learning_rates, "
            "or out-of-sample predictions, with labels and pred_probs; "
            f"this one has {listed(list(arrays)) or 'no array'}"
        )
    texts = {name: parse_names(name, metadata[name]) for name in LISTS if name in metadata}
    texts |= {name: texts_of(arrays[name]) for name in LISTS if name in arrays and name not in texts}
    form = f"{title}, safetensors, {len(arrays)} arrays"
    return MEANINGS[title].open(NamedArrays(form, arrays, texts, metadata, upload))
