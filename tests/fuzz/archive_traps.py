"""Hostile archives: bombs, quines, overlapping and odd members, XML entities, SVG and other hostile pictures."""

import io
import random
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import cache

from tests.fuzz.quines import gzip_quine, zip_quine
from tests.fuzz.seed import gzipped, zipped
from tests.fuzz.seeds import SEEDS
from tests.fuzz.text_traps import hostile_csv
from tests.fuzz.tool_seeds import TOOL_SEEDS
from tests.fuzz.trap import Trap
from tests.unit.ingest.uploads import png, tar_of

_SOME, _LESS, _MORE = 50, 500, 2_000
_ENTITIES = (
    '<!DOCTYPE a [<!ENTITY l "lol">'
    + "".join(f'<!ENTITY l{n} "{f"&l{n - 1 if n else str()};" * 10}">' for n in range(10))
    + "]>",
    '<!DOCTYPE a [<!ENTITY l9 SYSTEM "file:///etc/passwd">]>',
    '<!DOCTYPE a SYSTEM "http://127.0.0.1:9/a.dtd">',
    '<!DOCTYPE a [<!ENTITY % p SYSTEM "file:///etc/passwd"> %p;]>',
    '<!DOCTYPE a [<!ENTITY l9 "' + "a" * 100_000 + '">]>',
    '<!DOCTYPE a [<!ATTLIST image name CDATA "x">]>',
    "",
)


def xml(drawn: random.Random) -> bytes:
    """CVAT's XML with entities, deep, or broken."""
    inside = drawn.choice(
        ["&l9;" * 50, "<image id='1' name='&l9;'><tag label='&l9;'/></image>", "<a>" * 100_000, "<image><tag/></image>" * 5_000,
         "<image id='1' name='a.png'>" + "<tag label='a'/>" * 20_000 + "</image>", "<![CDATA[" + "x" * 100_000, "<?a " + "b" * 1_000 + "?>" * 100,
         "<image " + " ".join(f"a{n}='1'" for n in range(20_000)) + "/>", "<image id='1' name='../../etc/passwd'><tag label='a'/></image>", "&#x0;&#xD800;"]
    )  # fmt: skip
    declared = drawn.choice(
        [
            '<?xml version="1.0"?>',
            '<?xml version="1.0" encoding="utf-7"?>',
            '<?xml version="1.0" encoding="utf-16"?>',
            "",
        ]
    )
    return f"{declared}{drawn.choice(_ENTITIES)}<annotations>{inside}</annotations>".encode()


def _pictured(*chunks: tuple[bytes, bytes]) -> bytes:
    """A PNG of these chunks."""
    packed = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(packed)


def _png(width: int, height: int, *more: tuple[bytes, bytes], bits: int = 8, colour: int = 2) -> bytes:
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return _pictured((b"IHDR", head), *more, (b"IDAT", zlib.compress(bytes(1_000_000))), (b"IEND", b""))


def svg(drawn: random.Random) -> bytes:
    """A drawing: with scripts, entities, or references that have no end."""
    inside = drawn.choice(
        [
            "<script>alert(1)</script>",
            "&l9;",
            '<image href="file:///etc/passwd"/>',
            '<use href="#a"/>',
            "<g>" * 50_000,
            '<rect width="1e99" height="1e99"/>',
        ]
    )
    return f'{drawn.choice(_ENTITIES)}<svg id="a" xmlns="http://www.w3.org/2000/svg" width="{drawn.choice([1, 10**9])}">{inside}</svg>'.encode()


def picture(drawn: random.Random) -> bytes:
    """A picture that decodes to far more than it is, or to nothing."""
    text = zlib.compress(bytes(5_000_000))
    kinds: list[Callable[[], bytes]] = [
        lambda: svg(drawn),
        lambda: gzipped(svg(drawn)),
        lambda: _png(60_000, 60_000),
        lambda: _png(7_000, 7_000, bits=16, colour=6),
        lambda: _png(0, 0),
        lambda: _png(2**31 - 1, 1),
        lambda: _png(4, 4, (b"zTXt", b"a\0\0" + text)),
        lambda: _png(4, 4, (b"iCCP", b"a\0\0" + text)),
        lambda: _png(4, 4, (b"iTXt", b"a\0\1\0\0\0" + text)),
        lambda: _png(4, 4, *[(b"tEXt", b"a\0b")] * 20_000),
        lambda: _png(4, 4, (b"acTL", struct.pack(">II", 2**31 - 1, 0))),
        lambda: _png(4, 4, (b"eXIf", b"MM\0*\0\0\0\x08\0\x01\x87\x69\0\x04\0\0\0\x01\0\0\0\x08")),
        lambda: b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\x80\0\0" + bytes(6) + b",\0\0\0\0\1\0\1\0\0\2\2D\1\0" * 20_000 + b";",
        lambda: b"BM" + struct.pack("<IIIIiiHHIIiiII", 54, 0, 54, 40, 2**31 - 1, -(2**31), 1, 32, 0, 0, 0, 0, 0, 0),
        lambda: b"P6\n99999 99999\n255\n",
        lambda: b"P5 4 4 65535\n" + b"9" * 100_000,
        lambda: b"II*\0\x08\0\0\0\xff\xff" + bytes(12 * 100),
        lambda: b"MM\0*\0\0\0\x08\0\x01\x01\x00\0\x04\xff\xff\xff\xff\0\0\0\x08\0\0\0\x08",
        lambda: b"RIFF\xff\xff\xff\xffWEBPVP8X\x0a\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff",
        lambda: b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 99999 99999\n{} loop\n",
        lambda: b"8BPS\0\x01" + bytes(6) + b"\0\x03" + struct.pack(">II", 30_000, 30_000) + b"\0\x08\0\x03" + bytes(12),
        lambda: b"\0\0\x01\0\xff\xff" + bytes(16 * 50),
        lambda: png((7_000, 7_000), "L"),
        lambda: png()[: drawn.randrange(70)],
        lambda: zip_quine("images.zip"),
        lambda: b"",
    ]  # fmt: skip
    return drawn.choice(kinds)()


def _pictures(pack: Callable[[Mapping[str, bytes]], bytes]) -> Callable[[random.Random], bytes]:
    def make(drawn: random.Random) -> bytes:
        endings = ("png", "jpg", "gif", "svg", "svgz", "tif", "webp", "bmp", "ppm", "heic")
        hostile = {f"{'ab'[row % 2]}/{row}.{drawn.choice(endings)}": picture(drawn) for row in range(4)}
        return pack(hostile | {f"{'ab'[row % 2]}/good{row}.png": png(value=row) for row in range(4)})

    return make


def _nested(drawn: random.Random) -> bytes:
    """Archives in archives."""
    name = drawn.choice(
        ["images.zip", "tables.csv", "sheet.xlsx", "labels.jsonl", "a/tables.parquet", "labels.json", "tables.csv.gz"]
    )
    if drawn.random() < 0.4:
        return zip_quine(
            name + "x" * (-len(name) % 5)
            if drawn.random() < 0.3
            else drawn.choice(["images.zip", "tables.csv", "a.csv", "x/y/a.json"])
        )
    content = hostile_csv(drawn)
    for _ in range(drawn.choice([1, 2, 50, 300])):
        content = drawn.choice([lambda it: zipped({name: it}), lambda it: tar_of({name: it}), gzipped])(content)
    return content


def _overlapping(drawn: random.Random) -> bytes:
    """A ZIP whose members are all the same bytes of the file."""
    ending = drawn.choice(["png", "csv", "parquet", "json"])
    content = bytes(drawn.choice([1_000, 10**6, 10**7]))
    packed = zlib.compressobj(9, zlib.DEFLATED, -15)
    data = packed.compress(content) + packed.flush()
    shared = struct.pack(
        "<HHHHHIII",
        20,
        drawn.choice([0, 0, 1]),
        8,
        0,
        33,
        zlib.crc32(content),
        len(data),
        drawn.choice([len(content), 4, 2**32 - 2]),
    )
    name = f"a/0.{ending}".encode()
    local = b"PK\x03\x04" + shared + struct.pack("<HH", len(name), 0) + name + data
    count = drawn.choice([3, 100, 5_000])
    listed = b""
    for place in range(count):
        name = f"{'ab'[place % 2]}/{place}.{ending}".encode()
        listed += (
            b"PK\x01\x02" + struct.pack("<H", 20) + shared + struct.pack("<HHHHHII", len(name), 0, 0, 0, 0, 0, 0) + name
        )
    return local + listed + b"PK\x05\x06" + struct.pack("<HHHHIIH", 0, 0, count, count, len(listed), len(local), 0)


def _zip_bomb(drawn: random.Random) -> bytes:
    ending = drawn.choice(["png", "csv", "jsonl", "npy", "xml", "parquet", "arff"])
    size = drawn.choice([10**7, 3 * 10**8])
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        for name in ("a/1", "b/2"):
            archive.writestr(f"{name}.{ending}", drawn.choice([b"\0", b"a,b\n", b"[", b"\n"]) * (size // 4))
    return file.getvalue()


def _members(pack: Callable[[Mapping[str, bytes]], bytes]) -> Callable[[random.Random], bytes]:
    """Very many members, or members with odd names."""

    def make(drawn: random.Random) -> bytes:
        if drawn.random() < 0.2:
            count, content = drawn.choice([2_000, 30_000]), drawn.choice([b"", png()])
            return pack({f"{place % 7}/{place}.png": content for place in range(count)})
        names = ["../../etc/x.png", "/abs/a.png", "C:\\a\\b.png", "a\\b.png", "a/" * 300 + "b.png", "a/\0.png", "a/\u202egnp.exe", "CON/1.png", "a/.png", ".png", "a/ .png",
                 "a//b.png", "./a/b.png", "a/b.png/c.png", "é/1.png", "é/1.png", "x" * 60_000 + "/1.png", "a/1.PNG", "A/1.png", "__MACOSX/a/1.png", "a/train/1.png", "train/a/1.png",
                 "masks/1.png", "images/1.png", "labels.csv", "metadata.jsonl", "sample_submission.csv", "a\n/1.png"]  # fmt: skip
        return pack(
            {
                name: hostile_csv(drawn) if name.endswith(("csv", "jsonl")) else png(value=place)
                for place, name in enumerate(drawn.sample(names, 12))
            }
        )

    return make


def _tar(drawn: random.Random) -> bytes:
    """Links, devices, sparse files, sizes that lie."""
    file = io.BytesIO()
    with tarfile.open(
        fileobj=file, mode="w", format=drawn.choice([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
    ) as archive:
        for place in range(8):
            info = tarfile.TarInfo(f"{'ab'[place % 2]}/{place}.png")
            content = png(value=place)
            info.size = len(content)
            if drawn.random() < 0.4:
                info.type = drawn.choice(
                    [
                        tarfile.SYMTYPE,
                        tarfile.LNKTYPE,
                        tarfile.CHRTYPE,
                        tarfile.FIFOTYPE,
                        tarfile.GNUTYPE_SPARSE,
                        tarfile.DIRTYPE,
                        b"Z",
                    ]
                )
                info.linkname = drawn.choice(["/etc/passwd", "../../x", "a/0.png", info.name])
            if archive.format == tarfile.PAX_FORMAT and drawn.random() < 0.4:
                info.pax_headers = drawn.choice([{"path": "../../x.png"}, {"comment": "x" * 100_000}, {"GNU.sparse.realsize": str(10**12), "GNU.sparse.map": "0,1"},
                                                 {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"}, {"mtime": "nan"}, {"uid": "9" * 4_000}])  # fmt: skip
            archive.addfile(info, io.BytesIO(content))
    content = file.getvalue()
    if drawn.random() < 0.3:  # a size that lies, in the number that tar writes in octal
        place = 512 * drawn.randrange(len(content) // 512)
        content = (
            content[: place + 124]
            + drawn.choice([b"77777777777\0", b"\x80" + b"\xff" * 11, b"-0000000001\0", b"            "])
            + content[place + 136 :]
        )
    return gzipped(content) if drawn.random() < 0.3 else content


@cache
def _book() -> Mapping[str, bytes]:
    return next(one.parts for one in SEEDS if one.reader == "excel")


def _workbook(drawn: random.Random) -> bytes:
    """A workbook with entities, cells far away, or members that are bombs."""
    book = dict(_book())
    name = drawn.choice([one for one in book if one.endswith((".xml", ".rels"))])
    text = book[name].decode()
    head, _, rest = text.partition("?>")
    changes: list[Callable[[], str]] = [
        lambda: head + "?>" + drawn.choice(_ENTITIES) + rest.replace("cat", "&l9;", 1),
        lambda: text.replace('r="A1"', f'r="{drawn.choice(["XFD1048576", "ZZZZ99999999", "A0", "", "A1048577"])}"'),
        lambda: text.replace("A1:", drawn.choice(["A1:XFD1048576 ", "A1:A1 ", ":"])),
        lambda: text.replace("<sheetData>", "<sheetData>" + '<row r="1"><c r="A1"><v>1</v></c></row>' * 50_000),
        lambda: text.replace("</v>", "9" * 400 + "</v>"),
        lambda: text.replace('t="s"', f't="{drawn.choice(["e", "b", "d", "str", "inlineStr", "x"])}"'),
        lambda: text.replace("<v>", "<f>" + "A1+" * 3_000 + "</f><v>", 1),
        lambda: text.replace("<", "<" * 1_000, 1),
        lambda: text + "<x>" * 100_000,
        lambda: text.replace("worksheets/", drawn.choice(["../", "/etc/", "worksheets/worksheets/"])),
        lambda: text.replace('count="', 'count="99999999999'),
        lambda: text.replace(">", ">" + " " * 1_000_000, 1),
    ]  # fmt: skip
    book[name] = drawn.choice(changes)().encode()
    return zipped(book)


def _network(drawn: random.Random) -> bytes:
    """An exported network with hostile descriptions."""
    parts = dict(next(one.parts for one in TOOL_SEEDS if one.filename == "network.pt2"))
    name = drawn.choice([one for one in parts if one.endswith(".json")])
    text = parts[name].decode()
    changes: list[Callable[[], str]] = [
        lambda: "[" * 100_000,
        lambda: text.replace("[", "[" * drawn.choice([2, 500]), 1),
        lambda: text.replace("}", "},{}" * 3, 1),
        lambda: text.replace('"as_int": ', f'"as_int": {drawn.choice([2**62, -1, 10**400, 0])}'),
        lambda: text.replace("4", str(drawn.choice([2**31, 2**62, -1, 0])), drawn.randint(1, 4)),
        lambda: text.replace("torch.ops.aten", drawn.choice(["os.system", "torch.ops.aten.aten", ""])),
        lambda: text.replace("weight", drawn.choice(["../../weight", "\\u0000", "w" * 100_000])),
        lambda: text.replace(drawn.choice(["true", "null", "5", "3"]), drawn.choice(["null", "1e999", '"x"', "{}", "[]", "NaN"])),
        lambda: "{" + ",".join(f'"k{n}":{n}' for n in range(200_000)) + "}",
    ]  # fmt: skip
    parts[name] = drawn.choice(changes)().encode()
    return zipped(parts)


ARCHIVE_TRAPS = [
    Trap("zip", "images.zip", "ZIP, SVG and hostile pictures", _pictures(zipped), _LESS),
    Trap("zip", "images.zip", "ZIP, archives in archives and such that hold themselves", _nested, _MORE),
    Trap("zip", "task.zip", "ZIP, XML with entities", lambda drawn: zipped({"annotations.xml": xml(drawn), "a.png": png()}), _MORE),
    Trap("zip", "images.zip", "ZIP, overlapping members", _overlapping, _SOME),
    Trap("zip", "images.zip", "ZIP bombs", _zip_bomb, _SOME),
    Trap("zip", "images.zip", "ZIP, odd names and 30,000 members", _members(zipped), _SOME),
    Trap("tar", "images.tar", "TAR, SVG and hostile pictures", _pictures(tar_of), _LESS),
    Trap("tar", "images.tar", "TAR, links, devices, sparse files, false sizes", _tar, _MORE),
    Trap("tar", "images.tar", "TAR, odd names and 30,000 members", _members(tar_of), _SOME),
    Trap("tar", "images.tar.gz", "TAR, a gzip file that holds itself", lambda _: gzip_quine()),
    Trap("tool", "annotations.xml", "XML with entities", xml, _MORE),
    Trap("excel", "data.xlsx", "workbooks, XML entities and hostile cells", _workbook, _LESS),
    Trap("network", "network.pt2", "networks, hostile descriptions", _network, _MORE),
]  # fmt: skip
