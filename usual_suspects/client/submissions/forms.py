"""The forms of data that can be submitted: which one data have, and how each is read when it comes back corrected."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa

from usual_suspects.client.submissions import arrays, folders, frames, huggingface, pandas_frames, torch_sets
from usual_suspects.client.submissions.prepared import Origin, Prepared, UnsuitableData, is_of

Read = Callable[[Path, Origin], Any]

# Read from the Parquet or NPZ file that was uploaded, corrected by the service.
READ: dict[str, Read] = {
    "pandas": pandas_frames.read_pandas,
    "polars": frames.read_polars,
    "polars-lazy": frames.read_polars,
    "arrow": frames.read_arrow,
    "texts": frames.read_lists,
    "rows": frames.read_lists,
    "datasets": huggingface.read_dataset,
    "numpy": arrays.read_arrays,
}
# Read from their source again, with the labels of the service.
SOURCES = ("torch", "folder")
FORMS = (*READ, *SOURCES, "path")


def prepare(data: Any, y: Any, label: str | None, folder: Path) -> Prepared:
    """Write data into a file in `folder`; a file that is there already stays where it is. Raises UnsuitableData."""
    try:
        return _prepared(data, y, label, folder)
    except (pa.ArrowException, OverflowError) as error:
        raise UnsuitableData(f"the data do not fit into Arrow: {error}") from error
    except Exception as error:  # polars may not be installed, so its errors are known by their name alone
        if is_of(error, "polars.exceptions", "PolarsError"):
            raise UnsuitableData(f"polars cannot write the data: {error}") from error
        raise


def _prepared(data: Any, y: Any, label: Any, folder: Path) -> Prepared:
    if isinstance(data, tuple) and len(data) == 2 and y is None:
        data, y = data
    if isinstance(data, str | Path):
        return _path(data, folder)
    if is_torch(data):
        return torch_sets.write_torch(data, label, folder)
    label = None if label is None else str(label)
    if is_of(data, "pandas", "DataFrame"):
        return pandas_frames.write_pandas(data, y, label, folder)
    if is_of(data, "polars", "DataFrame", "LazyFrame"):
        return frames.write_polars(data, y, label, folder)
    if _is_huggingface(data):
        return huggingface.write_dataset(data, folder)
    if is_of(data, "pyarrow", "Table", "RecordBatch", "RecordBatchReader") or is_of(data, "pyarrow.dataset", "Dataset"):
        return frames.write_arrow(data, y, label, folder)
    return _others(data, y, label, folder)


def _others(data: Any, y: Any, label: str | None, folder: Path) -> Prepared:
    if isinstance(data, list) and data and isinstance(data[0], str) and y is not None:
        return frames.write_lists(data, y, label, folder)
    if isinstance(data, list) and data and isinstance(data[0], Mapping) and y is None:
        return frames.write_lists(data, None, label, folder)
    if hasattr(data, "__arrow_c_stream__"):
        return frames.write_arrow(data, y, label, folder)
    if is_of(data, "torch", "Tensor"):
        data = data.detach().cpu().numpy()
    if is_of(y, "torch", "Tensor"):
        y = y.detach().cpu().numpy()
    if isinstance(data, list) or is_of(data, "numpy", "ndarray"):
        if y is None:
            raise UnsuitableData("the labels are missing: submit(x, y)")
        return arrays.write_arrays(data, y, folder)
    raise UnsuitableData(
        f"{type(data).__module__}.{type(data).__qualname__} cannot be uploaded: give a frame of pandas or polars, an Arrow table, NumPy arrays "
        "x and y, a Hugging Face or torch Dataset, a folder, a file, or the id of a dataset"
    )


def _path(given: str | Path, folder: Path) -> Prepared:
    path = Path(given)
    # A Path of nothing is the folder of the process, which is uploaded only where that is said.
    if not path.parts and given != ".":
        raise UnsuitableData("the path is empty: name a file or a folder")
    if path.is_dir():
        return folders.write_folder(path, folder)
    if not path.exists():
        raise FileNotFoundError(f"{path}: there is no such file")
    return folders.given_file(path)


def _is_huggingface(data: Any) -> bool:
    return is_of(data, "datasets", "Dataset", "IterableDataset", "DatasetDict", "IterableDatasetDict")


def is_torch(data: Any) -> bool:
    """Whether data are a Dataset of torch. Raises UnsuitableData for a DataLoader."""
    if "torch" not in sys.modules:
        return False
    loader = is_of(data, "torch.utils.data", "DataLoader")
    if loader:
        raise UnsuitableData("a DataLoader shuffles and joins samples: give its .dataset")
    return is_of(data, "torch.utils.data", "Dataset")
