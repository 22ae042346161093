"""Hostile files by columns and arrays: bombs, extension types, deep and wide schemas, pickles, shapes that lie."""

import io
import json
import pickle
import random
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from tests.fuzz.seed import zipped
from tests.fuzz.trap import Trap

_SOME, _MORE = 30, 2_000
_ROWS = 12
_LABELS = ["a", "b"] * (_ROWS // 2)
Write = Callable[[pa.Table, random.Random], bytes]


def _parquet(table: pa.Table, drawn: random.Random) -> bytes:
    file = io.BytesIO()
    pq.write_table(
        table,
        file,
        compression=drawn.choice(["zstd", "snappy", "gzip", "none"]),
        store_schema=drawn.random() < 0.8,
        use_dictionary=drawn.random() < 0.7,
        dictionary_pagesize_limit=2**30,
        data_page_version=drawn.choice(["1.0", "2.0"]),
    )
    return file.getvalue()


def _arrow(table: pa.Table, drawn: random.Random) -> bytes:
    file = io.BytesIO()
    options = pa.ipc.IpcWriteOptions(compression=drawn.choice([None, "zstd", "lz4"]), allow_64bit=True)
    with drawn.choice([pa.ipc.new_file, pa.ipc.new_stream])(file, table.schema, options=options) as writer:
        writer.write_table(table)
    return file.getvalue()


def _bomb(write: Write) -> Callable[[random.Random], bytes]:
    """A few kilobytes that become up to a gigabyte."""

    def make(drawn: random.Random) -> bytes:
        rows, length = drawn.choice([(10, 10**7), (3_000, 10**5), (10**6, 100), (10**5, 10)])
        labels = pa.array(["p", "q"] * (rows // 2))
        long = "a" * length
        indices = pa.array([row % 2 for row in range(rows)], pa.int32())
        named = pa.DictionaryArray.from_arrays(indices, pa.array([long, long + "b"]))
        kinds: list[Callable[[], Any]] = [
            lambda: named,
            lambda: pa.array(np.zeros(rows)),
            lambda: pa.nulls(rows, drawn.choice([pa.null(), pa.string(), pa.list_(pa.int8())])),
            lambda: pa.ListArray.from_arrays(pa.array(range(rows + 1), pa.int32()), named),
            lambda: pa.array([b"\0" * 1000], pa.binary()).take(pa.array([0] * min(rows, 10**4))),
        ]
        column = drawn.choice(kinds)()
        table = pa.table({"x": column, "label": labels[: len(column)]})
        try:
            return write(table, drawn)
        except (pa.ArrowException, OSError):  # a type that the format has not
            return write(table.drop(["x"]), drawn)

    return make


def _odd_columns(drawn: random.Random) -> Any:
    """A column of a type that few files have."""
    numbers = pa.array(range(_ROWS), pa.int64())
    kinds: list[Callable[[], Any]] = [
        lambda: pa.ExtensionArray.from_storage(pa.uuid(), pa.array([bytes(16)] * _ROWS, pa.binary(16))),
        lambda: pa.ExtensionArray.from_storage(pa.json_(), pa.array(['{"a": 1}', "[" * 2_000, "x"] * (_ROWS // 3))),
        lambda: pa.ExtensionArray.from_storage(pa.bool8(), pa.array([row - 3 for row in range(_ROWS)], pa.int8())),
        lambda: pa.FixedShapeTensorArray.from_numpy_ndarray(np.zeros((_ROWS, 2, 3))),
        lambda: pa.ExtensionArray.from_storage(pa.opaque(pa.int64(), "thing", "vendor"), numbers),
        lambda: pa.array([{"a": row, "b": [row]} for row in range(_ROWS)]),
        lambda: pa.array([[(str(row), row)] for row in range(_ROWS)], pa.map_(pa.string(), pa.int64())),
        lambda: pa.UnionArray.from_sparse(pa.array([0] * _ROWS, pa.int8()), [numbers]),
        lambda: pa.RunEndEncodedArray.from_arrays(pa.array([_ROWS], pa.int32()), pa.array(["a"])),
        lambda: pa.array(["x" * row for row in range(_ROWS)], pa.string_view()),
        lambda: pa.array([b"\xff\xfe\0"] * _ROWS, drawn.choice([pa.binary(), pa.large_binary(), pa.binary(3), pa.binary_view()])),
        lambda: pa.array([None] * _ROWS, drawn.choice([pa.null(), pa.month_day_nano_interval(), pa.float16(), pa.list_view(pa.int8())])),
        lambda: numbers.cast(drawn.choice([pa.duration("ns"), pa.timestamp("s", "Not/AZone"), pa.timestamp("us", "+99:99"), pa.time64("ns"), pa.date64()])),
        lambda: pa.array([2**63 - 1, -(2**63)] * (_ROWS // 2), drawn.choice([pa.timestamp("s"), pa.timestamp("ns"), pa.duration("s")])),
        lambda: pa.array([2**31 - 1, -(2**31)] * (_ROWS // 2), drawn.choice([pa.date32(), pa.time32("s"), pa.int32()])),
        lambda: numbers.cast(pa.decimal128(38, drawn.choice([0, 2, 10]))),
        lambda: numbers.cast(pa.decimal256(76, 40)),
        lambda: pa.array([float("nan"), float("inf"), -0.0, 5e-324] * (_ROWS // 4), pa.float64()),
        lambda: pa.array([[1.0] * (row % 5) for row in range(_ROWS)]),
        lambda: pa.array([[]] * _ROWS, pa.list_(pa.list_(pa.string()), 0) if drawn.random() < 0.5 else pa.list_(pa.null())),
        lambda: pa.DictionaryArray.from_arrays(pa.array([0, None] * (_ROWS // 2), pa.int8()), pa.array(["a"])),
        lambda: pa.array([2**64 - 1] * _ROWS, pa.uint64()),
    ]  # fmt: skip
    try:
        return drawn.choice(kinds)()
    except (pa.ArrowException, ValueError):
        return numbers


def _types(write: Write) -> Callable[[random.Random], bytes]:
    def make(drawn: random.Random) -> bytes:
        label = pa.array(_LABELS) if drawn.random() < 0.7 else _odd_columns(drawn)
        table = pa.table({"x": _odd_columns(drawn), "y": _odd_columns(drawn), "label": label})
        if drawn.random() < 0.3:  # an extension that nobody has registered, as old Arrow kept its own as a pickle
            said = drawn.choice(
                ["arrow.py_extension_type", "arrow.fixed_shape_tensor", "arrow.variable_shape_tensor", "no.such"]
            )
            told = drawn.choice(
                [pickle.dumps(print), b'{"shape":[-1]}', b'{"shape":[9999999999,9999999999]}', b"{", b"\xff"]
            )
            field = table.schema.field("x").with_metadata(
                {"ARROW:extension:name": said, "ARROW:extension:metadata": told}
            )
            table = table.cast(table.schema.set(0, field)) if table.schema.field("x").type == field.type else table
        if drawn.random() < 0.2:
            table = table.replace_schema_metadata(
                {"pandas": drawn.choice(["{", "[]", '{"index_columns":[{}]}', '{"columns":1}'])}
            )
        try:
            return write(table, drawn)
        except (pa.ArrowException, OSError, KeyError):  # a type that the format has not
            return write(
                table.select(["label"])
                if table.schema.field("label").type == pa.string()
                else pa.table({"label": _LABELS}),
                drawn,
            )

    return make


def _schemas(write: Write) -> Callable[[random.Random], bytes]:
    """Thousands of columns, hundreds of levels, odd names."""

    def make(drawn: random.Random) -> bytes:
        match drawn.randrange(3):
            case 0:
                columns = drawn.choice([500, 5_000, 21_000])
                table = pa.table({**{f"c{place}": pa.array([1, 2]) for place in range(columns)}, "label": ["a", "b"]})
            case 1:
                inner: Any = pa.array([1.0, 2.0])
                for _ in range(drawn.choice([5, 30, 60])):  # Arrow itself writes no more than 64
                    inner = (
                        pa.StructArray.from_arrays([inner], ["a"])
                        if drawn.random() < 0.5
                        else pa.ListArray.from_arrays(pa.array([0, 1, 2], pa.int32()), inner)
                    )
                table = pa.table({"x": inner, "label": ["a", "b"]})
            case _:
                names = ["", "a" * 10**6, "label", "\0", "label"]
                table = pa.Table.from_arrays([pa.array([1, 2])] * 4 + [pa.array(["a", "b"])], names)
        return write(table, drawn)

    return make


def _npy(header: str, content: bytes, version: tuple[int, int] = (1, 0)) -> bytes:
    text = header.encode("latin-1", "replace")
    length = struct.pack("<H" if version == (1, 0) else "<I", len(text) % (2**16 if version == (1, 0) else 2**32))
    return b"\x93NUMPY" + bytes(version) + length + text + content


def _array(drawn: random.Random) -> bytes:
    """An array with a shape, a type or a header that nobody should believe."""
    shape = drawn.choice(
        ["(10**9,)", f"({2**62}, 4)", f"({2**63},)", "(-1, 4)", "(0, 4)", "(12, 0)", "()", "(12, 4)", "(12,) * 9", "(" * 90 + ")" * 90, "(12, 4.0)",
         "(True, 4)", f"({'9' * 5_000},)", "(12, 1, 1, 4)", f"({', '.join(['1'] * 70)},)"]
    )  # fmt: skip
    descr = drawn.choice(
        ["'<f4'", "'<f8'", "'|O'", "'<U1000000'", "'|S0'", "'<M8[ns]'", "'<c16'", "'|V8'", "[('a', '<f4')]", "'>i2'", "'|b1'", "'<f2'", "'<f16'", "None",
         "[('a', '<i4', (2**30,))]", "'" + "x" * 9_000 + "'", "__import__('os')", "'<u8'"]
    )  # fmt: skip
    header = f"{{'descr': {descr}, 'fortran_order': {drawn.choice(['False', 'True', '1'])}, 'shape': {shape}, }}"
    header = drawn.choice([header, header, header, "{" * 5_000, header * 20, "", "[" * 60_000])
    return _npy(
        header + " " * drawn.choice([0, 40]) + "\n",
        drawn.choice([bytes(192), pickle.dumps([print]), b""]),
        drawn.choice([(1, 0), (2, 0), (3, 0), (9, 9)]),
    )


def _good_array(values: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(values), allow_pickle=True)
    return file.getvalue()


def _npz(*names: str) -> Callable[[random.Random], bytes]:
    def make(drawn: random.Random) -> bytes:
        good = {"labels": np.arange(_ROWS) % 2, "y": np.arange(_ROWS) % 2}
        odd = [
            np.array([print] * _ROWS),
            np.zeros((0, 3)),
            np.full((_ROWS, 3), np.nan),
            np.array(["a\0b"] * _ROWS),
            np.zeros(()),
            np.full(_ROWS, 2**63, np.uint64),
        ]
        arrays, shares = {}, np.linspace(0.1, 0.8, _ROWS)
        for name in names:
            made = good.get(name, np.stack([shares, 1 - shares], 1)) if drawn.random() < 0.5 else drawn.choice(odd)
            arrays[f"{name}.npy"] = _array(drawn) if drawn.random() < 0.4 else _good_array(made)
        return zipped(arrays)

    return make


def _tensors(drawn: random.Random) -> bytes:
    """A safetensors file with a hostile header."""

    def entry() -> Any:
        shape = drawn.choice(
            [
                [_ROWS],
                [_ROWS, 2],
                [2**62, 4],
                [-1],
                [0],
                [],
                [1] * 60,
                [2**31, 2**31],
                [1.5],
                [True],
                "x",
                None,
                [2**70],
            ]
        )
        offsets = drawn.choice([[0, 48], [0, 96], [48, 0], [0, 2**63], [-8, 8], [0], "x", [0, 0], [10**9, 10**9 + 48]])
        return drawn.choice(
            [
                {
                    "dtype": drawn.choice(["F32", "I64", "F8_E5M2", "BF16", "", 3, None, "U8"]),
                    "shape": shape,
                    "data_offsets": offsets,
                },
                [],
                None,
                1,
            ]
        )

    names = [
        "labels",
        "logits_1",
        "logits_2",
        "activations_1",
        "learning_rates",
        "pred_probs",
        "features",
        "logits",
        "inner_1",
        "logits_999999999",
    ]
    header: dict[str, Any] = {name: entry() for name in drawn.sample(names, drawn.randint(1, 6))}
    if drawn.random() < 0.5:
        header["__metadata__"] = drawn.choice(
            [{"classes": "[" * 3_000}, {"classes": '["a","a"]'}, {"ids": "{}"}, {"ids": json.dumps(["x" * 10] * _ROWS)}, {"bias": "maybe"}, {"labels": "columns"}, [], {"a": 1},
             {"classes": json.dumps(["\ud800", "b"])}]
        )  # fmt: skip
    if drawn.random() < 0.1:
        header |= {f"a{place}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for place in range(20_000)}
    text = drawn.choice(
        [json.dumps(header), json.dumps(header), '{"a":' * 50_000, '{"a":[' + "{}," * 100_000 + "1]}"]
    ).encode()
    length = drawn.choice([len(text)] * 5 + [2**63, 0, len(text) + 10**6, 2**64 - 1])
    return struct.pack("<Q", length) + text + bytes(drawn.choice([0, 48, 960]))


COLUMN_TRAPS = [
    Trap("parquet", "data.parquet", "Parquet bombs", _bomb(_parquet), _SOME),
    Trap("parquet", "data.parquet", "Parquet, extension and other odd types", _types(_parquet), _MORE),
    Trap("parquet", "data.parquet", "Parquet, up to 21,000 columns or 60 levels", _schemas(_parquet), _SOME),
    Trap("arrow", "data.arrow", "Arrow bombs", _bomb(_arrow), _SOME),
    Trap("arrow", "data.arrow", "Arrow, extension and other odd types", _types(_arrow), _MORE),
    Trap("arrow", "data.arrow", "Arrow, up to 21,000 columns or 60 levels", _schemas(_arrow), _SOME),
    Trap("npz", "data.npz", "NPZ, hostile arrays and pickles", _npz("x", "y"), _MORE),
    Trap("named", "data.npz", "NPZ of predictions, hostile arrays", _npz("labels", "pred_probs"), _MORE),
    Trap("named", "run.npz", "NPZ of a training, hostile arrays", _npz("labels", "logits_1", "activations_1", "learning_rates"), _MORE),
    Trap("safetensors", "run.safetensors", "safetensors, hostile headers", _tensors, _MORE),
    Trap("network", "state.safetensors", "weights, hostile headers", _tensors, _MORE),
]  # fmt: skip
