"""What reading an upload costs, by format and number of rows: ten times the rows should take ten times the time.

    python -m benchmarks.readers [--rows 1000 10000 100000] [--formats csv parquet ...] [--most-files 100000]

Each file is ingested whole, in this process, by processor time; the least of three readings counts, of one from a million rows on.
A table has five columns: an id, two numbers, a word and a label; the wide one has twenty, some values missing. Images are JPEG of 32 by 32 pixels, in folders of their classes.
"""

import argparse
import csv
import gzip
import io
import json
import tarfile
import tempfile
import time
import zipfile
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import xlsxwriter
from PIL import Image
from safetensors.numpy import save

from service.domain.dataset import DatasetSpec
from service.ingest import Limits, ingest

RESULTS = Path(__file__).parent / "results"
_LARGE = 1_000_000
_MOST = 11  # times as long for ten times the rows
_PICTURES = 64
_MISSING = 0.02
_WORDS = ("red", "green", "blue", "grey")


def table(rows: int) -> pa.Table:
    """The same table each time."""
    random = np.random.default_rng(0)
    return pa.table(
        {
            "id": [f"s{i:07}" for i in range(rows)],
            "width": random.normal(size=rows).round(4),
            "height": random.integers(0, 1_000, rows),
            "colour": [_WORDS[i] for i in random.integers(0, len(_WORDS), rows)],
            "label": ["yes" if one else "no" for one in random.integers(0, 2, rows)],
        }
    )


def wide_table(rows: int) -> pa.Table:
    """Twenty columns: an id, nine of fractions with missing values, five of whole numbers, four of words, and a label."""
    random = np.random.default_rng(0)
    fractions = {
        f"fraction{n}": pa.array(random.normal(size=rows).round(4), mask=random.random(rows) < _MISSING)
        for n in range(9)
    }
    whole = {f"whole{n}": random.integers(0, 10 ** (n + 1), rows) for n in range(5)}
    words = {f"word{n}": [_WORDS[i] for i in random.integers(0, len(_WORDS), rows)] for n in range(4)}
    few = table(rows)
    return pa.table({"id": few["id"], **fractions, **whole, **words, "label": few["label"]})


def as_csv(rows: int) -> bytes:
    """CSV with a header."""
    return _csv(table(rows))


def as_wide_csv(rows: int) -> bytes:
    """CSV of twenty columns."""
    return _csv(wide_table(rows))


def _csv(found: pa.Table) -> bytes:
    file = io.StringIO()
    writer = csv.writer(file)
    writer.writerow(found.column_names)
    writer.writerows(zip(*(column.to_pylist() for column in found.columns), strict=True))
    return file.getvalue().encode()


def as_json(rows: int) -> bytes:
    """One array of objects."""
    return json.dumps(table(rows).to_pylist()).encode()


def as_json_lines(rows: int) -> bytes:
    """One object a line."""
    return "".join(f"{json.dumps(row)}\n" for row in table(rows).to_pylist()).encode()


def as_parquet(rows: int) -> bytes:
    """Parquet as pyarrow writes it."""
    file = io.BytesIO()
    pq.write_table(table(rows), file)
    return file.getvalue()


def as_arrow(rows: int) -> bytes:
    """Arrow IPC, packed, in batches of 65,536 rows."""
    file, found = io.BytesIO(), table(rows)
    with pa.ipc.new_file(file, found.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as writer:
        writer.write_table(found, 65_536)
    return file.getvalue()


def as_npz(rows: int) -> bytes:
    """Sixteen numbers a row, with labels."""
    random, file = np.random.default_rng(0), io.BytesIO()
    np.savez_compressed(file, x=random.normal(size=(rows, 16)).astype(np.float32), y=random.integers(0, 2, rows))
    return file.getvalue()


def as_svmlight(rows: int) -> bytes:
    """Labels and numbered values."""
    values = table(rows)
    pairs = zip(values["width"].to_pylist(), values["height"].to_pylist(), values["label"].to_pylist(), strict=True)
    return "".join(f"{'+1' if label == 'yes' else '-1'} 1:{one} 2:{two}\n" for one, two, label in pairs).encode()


def as_fasttext(rows: int) -> bytes:
    """A class and a dozen words a line."""
    labels = table(rows)["label"].to_pylist()
    words = " ".join(_WORDS)
    return "".join(f"__label__{label} {words} {row}\n" for row, label in enumerate(labels)).encode()


def as_arff(rows: int) -> bytes:
    """ARFF of Weka, its words named in the header."""
    words, kinds = ",".join(_WORDS), {"id": "string", "width": "numeric", "height": "numeric", "label": "{no,yes}"}
    head = [f"@attribute {name} {kinds.get(name, f'{{{words}}}')}\n" for name in table(1).column_names]
    return f"@relation table\n{''.join(head)}@data\n".encode() + as_csv(rows).partition(b"\r\n")[2]


def as_excel(rows: int) -> bytes:
    """A workbook of one sheet."""
    file, found = io.BytesIO(), table(rows)
    with xlsxwriter.Workbook(file, {"constant_memory": True}) as book:
        sheet = book.add_worksheet()
        sheet.write_row(0, 0, found.column_names)
        for place, row in enumerate(zip(*(column.to_pylist() for column in found.columns), strict=True), 1):
            sheet.write_row(place, 0, row)
    return file.getvalue()


def as_safetensors(rows: int) -> bytes:
    """Out-of-sample predictions of two classes, with labels."""
    random = np.random.default_rng(0)
    first = random.uniform(size=rows).astype(np.float32)
    return save({"pred_probs": np.stack([first, 1 - first], 1), "labels": random.integers(0, 2, rows)})


def as_label_studio(rows: int) -> bytes:
    """Tasks of a text, each with one annotation, as Label Studio exports them."""
    tasks = [
        {
            "id": place,
            "data": {"text": f"{row['id']} is {row['colour']} and {row['height']} high"},
            "annotations": [
                {
                    "id": place,
                    "was_cancelled": False,
                    "result": [
                        {
                            "from_name": "kind",
                            "to_name": "text",
                            "type": "choices",
                            "value": {"choices": [row["label"]]},
                        }
                    ],
                }
            ],
        }
        for place, row in enumerate(table(rows).to_pylist())
    ]
    return json.dumps(tasks).encode()


def as_doccano(rows: int) -> bytes:
    """Texts with their labels, one object a line, as doccano exports them."""
    lines = (
        {"id": place, "text": f"{row['id']} is {row['colour']} and {row['height']} high", "label": [row["label"]]}
        for place, row in enumerate(table(rows).to_pylist())
    )
    return "".join(f"{json.dumps(line)}\n" for line in lines).encode()


def _pictures() -> list[bytes]:
    random, found = np.random.default_rng(0), []
    for _ in range(_PICTURES):
        file = io.BytesIO()
        Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(file, "JPEG")
        found.append(file.getvalue())
    return found


def _names(rows: int) -> list[str]:
    return [f"{'cat' if i % 2 else 'dog'}/{i:07}.jpg" for i in range(rows)]


def as_zip(rows: int) -> bytes:
    """A ZIP of images."""
    file, pictures = io.BytesIO(), _pictures()
    with zipfile.ZipFile(file, "w") as archive:
        for place, name in enumerate(_names(rows)):
            archive.writestr(name, pictures[place % _PICTURES])
    return file.getvalue()


def as_zip_of_nothing(rows: int) -> bytes:
    """A ZIP of a few images and many empty files."""
    file, pictures = io.BytesIO(), _pictures()
    with zipfile.ZipFile(file, "w") as archive:
        for place, name in enumerate(_names(rows)):
            archive.writestr(name, pictures[place] if place < _PICTURES else b"")
    return file.getvalue()


def as_tar(rows: int) -> bytes:
    """A TAR of images."""
    file, pictures = io.BytesIO(), _pictures()
    with tarfile.open(fileobj=file, mode="w") as archive:
        for place, name in enumerate(_names(rows)):
            info = tarfile.TarInfo(name)
            info.size = len(pictures[place % _PICTURES])
            archive.addfile(info, io.BytesIO(pictures[place % _PICTURES]))
    return file.getvalue()


FILES: dict[str, tuple[str, Callable[[int], bytes]]] = {
    "csv": ("a.csv", as_csv),
    "csv of 20 columns": ("a.csv", as_wide_csv),
    "csv.gz": ("a.csv.gz", lambda rows: gzip.compress(as_csv(rows), 1)),
    "json": ("a.json", as_json),
    "jsonl": ("a.jsonl", as_json_lines),
    "parquet": ("a.parquet", as_parquet),
    "arrow": ("a.arrow", as_arrow),
    "npz": ("a.npz", as_npz),
    "svmlight": ("a.svm", as_svmlight),
    "fasttext": ("a.ft.txt", as_fasttext),
    "arff": ("a.arff", as_arff),
    "excel": ("a.xlsx", as_excel),
    "safetensors": ("a.safetensors", as_safetensors),
    "label studio": ("a.json", as_label_studio),
    "doccano": ("a.jsonl", as_doccano),
    "zip of images": ("a.zip", as_zip),
    "zip of empty files": ("a.zip", as_zip_of_nothing),
    "tar of images": ("a.tar", as_tar),
}


def seconds(name: str, content: bytes, rows: int) -> float:
    """The least processor time of reading a file."""
    with tempfile.TemporaryDirectory() as folder:
        source, found = Path(folder) / "source", []
        source.write_bytes(content)
        for number in range(1 if rows >= _LARGE else 3):
            began = time.process_time()
            ingest(
                source, name, DatasetSpec(), Path(folder) / f"data{number}", Path(folder) / f"skipped{number}", Limits()
            )
            found.append(time.process_time() - began)
    return min(found)


def row_of(form: str, sizes: list[int], most_files: int) -> str:
    """A line of the table: seconds by number of rows, the steepest growth for ten times the rows, and MB a second."""
    name, write = FILES[form]
    found = []
    for rows in sizes:
        if form.startswith(("zip", "tar")) and rows > most_files:
            continue
        content = write(rows)
        found.append((rows, len(content), seconds(name, content, rows)))
    growth = [(after[2] / before[2]) ** (1 / np.log10(after[0] / before[0])) for before, after in pairwise(found)]
    steepest = max(growth, default=0.0)
    shown = " | ".join([*(f"{one[2]:.3f}" for one in found), *[""] * (len(sizes) - len(found))])
    mark = "" if steepest <= _MOST else " **steeper**"
    return f"| {form} | {shown} | {steepest:.1f}{mark} | {found[-1][1] / 1e6 / found[-1][2]:.1f} |"


def main() -> None:
    """Measure and write benchmarks/results/readers.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", nargs="+", type=int, default=[1_000, 10_000, 100_000])
    parser.add_argument("--formats", nargs="+", choices=FILES, default=list(FILES))
    parser.add_argument("--most-files", type=int, default=100_000, help="largest number of files of an archive")
    arguments = parser.parse_args()
    sizes = sorted(arguments.rows)
    lines = [
        "# Readers",
        "",
        "Seconds of processor time to ingest a whole file, its growth (how many times as long ten times the rows take, at most), and MB of the largest file",
        "a second. Measured by `python -m benchmarks.readers`; from tens of milliseconds down, what a reader does once counts.",
        "",
        f"| format | {' | '.join(f'{rows:,} rows' for rows in sizes)} | growth | MB/s |",
        f"|---|{'---|' * (len(sizes) + 2)}",
    ]
    for form in arguments.formats:
        lines.append(row_of(form, sizes, arguments.most_files))
        print(lines[-1], flush=True)
    (RESULTS / "readers.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
