"""Hostile texts: lines of 300 MB, thousands of columns, deep nesting, texts for regular expressions, bombs of gzip."""

import gzip
import json
import random
from collections.abc import Callable

from tests.fuzz.quines import gzip_quine
from tests.fuzz.regexes import expressions, long_text
from tests.fuzz.seed import gzipped
from tests.fuzz.trap import Trap

_LINE = 300 * 10**6
_FEW, _SOME = 6, 30
_ROWS = 12
_BITS_OF_LINES = (
    "a",
    ",",
    "1",
    '"',
    '""',
    "é",
    "\t",
    "a b ",
    "1:1 ",
    "\0",
    '"a",',
    "[",
    '{"a":1},',
    "\\",
    "%",
    "'",
    "NaN,",
    "2024-01-01,",
)
_ODD_NUMBERS = (
    "1e999", "-1e999", "1e-999", "9" * 400, "0x10", "1_000", "\u0661\u0662", "1,5", "1.5e", "--1", "+", ".", "-", "1e", "∞", "NaN", "0" * 400 + "1",
    str(2**63), str(2**64), str(-(2**63) - 1), "1e308", "4.9e-324", "0.1" + "0" * 500, "\uff11\uff12",
)  # fmt: skip
_ODD_TEXTS = (
    "\ud7ff", "\u202e", "\ufeff", "\0", "\x1a", "\x85", "\u2028", "a\u0300" * 500, "=cmd|' /C calc'!A0", "<script>", "${jndi:ldap://x}",
    "../../etc/passwd", "'; DROP TABLE x; --", "%s%s%n", "\x1b]0;x\x07", "A" * 70_000, "", " ", "\\N", "NULL",
)  # fmt: skip


def _texts(drawn: random.Random) -> list[str]:
    """A column of values: worst cases of regular expressions, odd numbers, odd texts."""
    match drawn.randrange(4):
        case 0:
            one = drawn.choice(expressions())
            length = drawn.choice([10, 100, 1_000, 20_000])
            return [long_text(one.pattern, drawn, length) for _ in range(_ROWS)]
        case 1:
            return [drawn.choice(_ODD_NUMBERS) for _ in range(_ROWS)]
        case 2:
            return [drawn.choice(_ODD_TEXTS) for _ in range(_ROWS)]
        case _:
            return [drawn.choice((*_ODD_NUMBERS, *_ODD_TEXTS)) * drawn.choice([1, 1, 100]) for _ in range(_ROWS)]


def _columns(drawn: random.Random) -> dict[str, list[str]]:
    one = drawn.choice(expressions())
    name = long_text(one.pattern, drawn, drawn.choice([5, 50, 5_000])) if drawn.random() < 0.5 else "x"
    labels = _texts(drawn) if drawn.random() < 0.3 else [f"c{row % 3}" for row in range(_ROWS)]
    return {name: _texts(drawn), "second": _texts(drawn), "label": labels}


def _cell(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def hostile_csv(drawn: random.Random) -> bytes:
    """A table of hostile values."""
    columns, mark = _columns(drawn), drawn.choice([",", ",", "\t", ";", "|"])
    write = _cell if drawn.random() < 0.7 else str
    rows = [list(columns), *map(list, zip(*columns.values(), strict=True))]
    return "\n".join(mark.join(map(write, row)) for row in rows).encode("utf-8", "surrogatepass")


def _hostile_json(drawn: random.Random, *, lines: bool) -> bytes:
    columns = _columns(drawn)
    rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
    plain = drawn.random() < 0.5
    texts = [json.dumps(row, ensure_ascii=plain) for row in rows]
    if drawn.random() < 0.5:  # values that JSON has beside texts
        odd = drawn.choice(
            ["1e999", "NaN", "-Infinity", "9" * 5_000, "-0", "1E400", '"\\ud800"', "[" * 500 + "]" * 500, "{}", "[[1],[2,3]]",
             '{"a":' * 300 + "1" + "}" * 300, "true", "null", "0." + "3" * 3_000]
        )  # fmt: skip
        texts = [text.replace('"second": ', f'"odd": {odd}, "second": ', 1) for text in texts]
    content = "\n".join(texts) if lines else "[" + ",".join(texts) + "]"
    return content.encode("utf-8", "surrogatepass")


def _deep(drawn: random.Random) -> bytes:
    depth = drawn.choice([100, 990, 5_000, 100_000, 1_000_000])
    opening, inner, closing = drawn.choice(
        [("[", "1", "]"), ('{"a":', "1", "}"), ('[{"label":', "1", "}]"), ('{"images":[', "", "]}")]
    )
    text = opening * depth + inner + closing * (depth if drawn.random() < 0.7 else 0)
    around = drawn.choice(
        ["?", '[{"label": "a", "x": ?}]', '{"label": "a", "x": ?}\n{"label": "b", "x": ?}', '{"data": [?]}']
    )
    return around.replace("?", text).encode()


def _wide_json(drawn: random.Random) -> bytes:
    keys = drawn.choice([1_000, 21_000, 200_000])
    row = "{" + ",".join(f'"k{key}":{key}' for key in range(keys)) + ',"label":"a"}'
    match drawn.randrange(3):
        case 0:
            return f"[{row},{row}]".encode()
        case 1:
            return f"{row}\n{row}\n".encode()
        case _:  # other keys in each row
            rows = (json.dumps({f"k{row}": row, "label": "ab"[row % 2]}) for row in range(keys // 5))
            return "\n".join(rows).encode()


def _wide_csv(drawn: random.Random) -> bytes:
    columns, mark = drawn.choice([1_000, 19_000, 21_000, 500_000]), drawn.choice([",", "\t", ";"])
    header = mark.join([*(f"c{place}" for place in range(columns)), "label"])
    row = mark.join(["1"] * drawn.choice([columns, columns - 1, 2 * columns, 1])) + mark
    return "\n".join([header if drawn.random() < 0.7 else "label,x", row + "a", row + "b", row + "a"]).encode()


def _long_line(before: str, after: str) -> Callable[[random.Random], bytes]:
    def make(drawn: random.Random) -> bytes:
        bit = drawn.choice(_BITS_OF_LINES)
        head = before if drawn.random() < 0.8 else ""
        return (head + bit * (_LINE // len(bit.encode())) + (after if drawn.random() < 0.5 else "")).encode()

    return make


def gzip_bomb(drawn: random.Random) -> bytes:
    """A gzip file that becomes a gigabyte, or is packed a hundred times over."""
    bit = drawn.choice(["0,a\n", "a", "\n", '{"x":1,"label":"a"}\n', "\0"]).encode()
    if drawn.random() < 0.5:
        content = bit * 50
        for _ in range(drawn.choice([2, 100])):
            content = gzipped(content)
        return content
    piece = gzip.compress(bit * (10**7 // len(bit)), 9, mtime=0)
    return piece * drawn.choice([20, 100])  # members one after another


def _arff(drawn: random.Random) -> bytes:
    values = _texts(drawn)
    start = drawn.choice(["", "\n" * 60_000, " \n" * 3_000, "%\n" * 20_000, "\ufeff"])
    kinds = drawn.choice(
        [
            "numeric",
            "string",
            "{a,b}",
            "{" + ",".join(f"v{n}" for n in range(50_000)) + "}",
            "{'a",
            "date 'x'",
            "relational",
        ]
    )
    name = drawn.choice(["x", "'a b'", "'" + "\\'" * 3_000, "a" * 100_000])
    head = f"{start}@relation r\n@attribute {name} {kinds}\n@attribute label {{a,b}}\n@data\n"
    if drawn.random() < 0.3:
        rows = [f"{{{'0 1,' * 20_000}1 a}}", f"{{{'9' * 5_000} a}}", "{0 1, 1 b}"]
    else:
        rows = [
            f"{drawn.choice([value, _cell(value), chr(39) + value])},{'ab'[row % 2]}"
            for row, value in enumerate(values)
        ]
    return (head + "\n".join(rows)).encode("utf-8", "surrogatepass")


def _svmlight(drawn: random.Random) -> bytes:
    odd = drawn.choice(
        ["1:" + "1" * 20_000 + "x", f"{2**31}:1", f"{2**63}:1", "1:1 " * 50_000, "0:1", "2:1 1:1", "1:1 1:2", "1:nan", "1:inf", "1:1e999",
         "qid:1 1:1", "# " + "x" * 10**6, "1000000:1", "19999:1", "1:\u0661", " " * 50_000 + "1:1", "-1:1"]
    )  # fmt: skip
    labels = drawn.choice([["1", "-1"], ["0", "1,2"], ["1e999", "2"], ["a", "b"], ["9" * 3_000, "1"]])
    return "\n".join(f"{labels[row % 2]} {odd if row % 3 == 0 else f'1:{row} 3:1'}" for row in range(_ROWS)).encode()


TEXT_TRAPS = [
    Trap("csv", "data.csv", "CSV, hostile values and worst cases of regular expressions", hostile_csv, 1_000),
    Trap("csv", "data.csv", "CSV, up to 500,000 columns", _wide_csv, _SOME),
    Trap("csv", "data.csv", "CSV, a line of 300 MB", _long_line("x,label\n1,a\n", "\n2,b\n"), _FEW),
    Trap("csv", "data.csv.gz", "gzip bombs", gzip_bomb, _SOME),
    Trap("csv", "data.csv.gz", "a gzip file that holds itself", lambda _: gzip_quine()),
    Trap("jsonl", "data.jsonl", "JSON lines, hostile values", lambda drawn: _hostile_json(drawn, lines=True), 2_000),
    Trap("jsonl", "data.jsonl", "JSON lines, up to 200,000 keys", _wide_json, _FEW),
    Trap("jsonl", "data.jsonl", "JSON lines, a line of 300 MB", _long_line('{"x":1,"label":"a"}\n{"x":"', '","label":"b"}\n'), _FEW),
    Trap("json", "data.json", "JSON, hostile values", lambda drawn: _hostile_json(drawn, lines=False), 2_000),
    Trap("json", "data.json", "JSON, up to a million levels", _deep, _SOME),
    Trap("json", "data.json", "JSON, a text of 300 MB", _long_line('[{"x":1,"label":"a"},{"x":"', '","label":"b"}]'), _FEW),
    Trap("tool", "data.json", "exports, up to a million levels", _deep, _SOME),
    Trap("arff", "data.arff", "ARFF, hostile headers and rows", _arff, 2_000),
    Trap("arff", "data.arff", "ARFF, a line of 300 MB", _long_line("@relation r\n@attribute x numeric\n@attribute label {a,b}\n@data\n1,a\n", "\n2,b\n"), _FEW),
    Trap("svmlight", "data.svm", "SVMlight, hostile rows", _svmlight, 2_000),
    Trap("svmlight", "data.svm", "SVMlight, a line of 300 MB", _long_line("1 1:1\n2 1:2\n", "\n1 1:1\n"), _FEW),
    Trap("fasttext", "train.ft.txt", "fastText, a line of 300 MB", _long_line("__label__a b\n__label__b ", "\n__label__a b\n"), _FEW),
]  # fmt: skip
