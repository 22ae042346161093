"""Map-style datasets of torch: tensors, arrays or PIL images with a label each."""

import io
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from usual_suspects.client.submissions.parquet import write_batches
from usual_suspects.client.submissions.prepared import LABEL, Origin, Prepared, UnsuitableData

ROW = "row-"  # begins the id of a sample that has no other
_IMAGES = 256
_LABELS = ("label", "labels", "y", "target", "targets")
Sample = tuple[Any, Any]


def write_torch(data: Any, label: str | None, folder: Path) -> Prepared:
    """A dataset whose samples are a pair, or a dictionary, of an input and a label; it is gone through once.

    Tensors of one shape become an NPZ, PIL images a Parquet file of PNGs. Labels get the names of `data.classes`, where it has some.
    """
    try:
        count = len(data)
    except TypeError:
        raise UnsuitableData("the torch Dataset has no length: give one of the map style, with __len__") from None
    texts = LabelTexts(getattr(data, "classes", None))
    samples = (sample_of(data[number], label) for number in range(count))
    first = next(samples, None)
    if first is None:
        raise UnsuitableData("the torch Dataset is empty")
    every = chain([first], samples)
    if hasattr(first[0], "convert"):  # a PIL image
        path = folder / "images.parquet"
        schema = pa.schema(
            [("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), (LABEL, pa.string())]
        )
        write_batches(path, schema, _pictures(every, texts, schema), form="torch")
        options: dict[str, Any] = {"label": LABEL}
    else:
        path, options = folder / "arrays.npz", {}
        _write_npz(path, every, count, np.asarray(first[0]), texts)
    return Prepared(path, Origin("torch", source=data, labels=texts.values), path.stem, options)


def sample_of(item: Any, label: str | None = None) -> Sample:
    """Input and label of an item of a dataset. Raises UnsuitableData."""
    if isinstance(item, Mapping):
        name = label_key(item, label)
        inputs = [value for key, value in item.items() if key != name and _is_input(value)]
        if len(inputs) != 1:
            raise UnsuitableData(
                f"an item must hold one tensor or image beside its label, not {', '.join(map(str, item))}"
            )
        return inputs[0], item[name]
    if isinstance(item, Sequence) and len(item) > 1:
        return item[0], item[1]
    raise UnsuitableData(
        f"an item of the Dataset must be a pair of input and label, or a dictionary, not {type(item).__name__}"
    )


def label_key(item: Mapping[str, Any], label: str | None) -> str:
    """The key of the label in an item. Raises UnsuitableData."""
    found = next((name for name in ([label] if label else _LABELS) if name in item), None)
    if found is None:
        raise UnsuitableData(f"no label among {', '.join(map(str, item))}: name it by `label`")
    return found


def _is_input(value: Any) -> bool:
    return hasattr(value, "convert") or hasattr(value, "shape")


class LabelTexts:
    """Labels as texts, and back again in `values`."""

    def __init__(self, classes: Any = None) -> None:
        named = isinstance(classes, Sequence) and all(isinstance(name, str) for name in classes)
        self._classes: Sequence[str] = classes if named and len(set(classes)) == len(classes) else ()
        self.values: dict[str, Any] = {name: place for place, name in enumerate(self._classes)}

    def text(self, value: Any) -> str:
        """The text of a label. Raises UnsuitableData for several labels at once."""
        if hasattr(value, "item"):
            if getattr(value, "size", None) != 1 and getattr(value, "numel", lambda: 1)() != 1:
                raise UnsuitableData(
                    "a sample has several labels; one class each is expected, of one-hot labels argmax()"
                )
            value = value.item()
        whole = int(value) if isinstance(value, float) and value.is_integer() else value
        if isinstance(whole, int) and 0 <= whole < len(self._classes):
            return self._classes[int(whole)]
        self.values.setdefault(str(whole), value)
        return str(whole)


def _pictures(samples: Iterable[Sample], texts: LabelTexts, schema: Any) -> Iterator[Any]:
    rows: list[dict[str, Any]] = []
    for number, (picture, label) in enumerate(samples):
        packed = io.BytesIO()
        picture.save(packed, "PNG")
        rows.append({"image": {"bytes": packed.getvalue(), "path": f"{ROW}{number}"}, LABEL: texts.text(label)})
        if len(rows) == _IMAGES:
            yield pa.RecordBatch.from_pylist(rows, schema)
            rows = []
    if rows:
        yield pa.RecordBatch.from_pylist(rows, schema)


def _write_npz(path: Path, samples: Iterable[Sample], count: int, first: Any, texts: LabelTexts) -> None:
    """Write `x` in the order of the samples, one at a time, then `y`."""
    labels: list[str] = []
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        with archive.open("x.npy", "w", force_zip64=True) as file:
            described = {
                "descr": np.lib.format.dtype_to_descr(first.dtype),
                "fortran_order": False,
                "shape": (count, *first.shape),
            }
            np.lib.format.write_array_header_1_0(file, described)
            for number, (value, label) in enumerate(samples):
                array = np.asarray(value)
                if array.shape != first.shape or array.dtype != first.dtype:
                    raise UnsuitableData(
                        f"sample {number} has shape {array.shape} of {array.dtype}, the first {first.shape} of {first.dtype}: "
                        "give tensors of one shape, or PIL images"
                    )
                file.write(np.ascontiguousarray(array).tobytes())
                labels.append(texts.text(label))
        with archive.open("y.npy", "w") as file:
            np.lib.format.write_array(file, np.array(labels), allow_pickle=False)
