"""Image files as people have them: endings, formats, metadata, old archives, leftovers of systems."""

import struct
import tarfile
import zlib

import pytest
from PIL import features

from tests.unit.ingest.uploads import Take, png, tar_of, zip_of

CLASSES = {f"{name}/{i}.png": png(value=i + 1) for name in ("ash", "oak") for i in range(5)}


@pytest.mark.parametrize("name", ["x.jfif", "x.jpe", "x.JPG", "x.jpg_large", "x.jpg!d", "x", "x.jpeg?w=100", "x.image"])
def test_an_image_is_told_by_its_content_where_the_ending_is_unusual(take: Take, name: str) -> None:
    data = png(kind="JPEG", value=99)
    outcome = take(zip_of({**CLASSES, f"oak/{name}": data}), "a.zip")
    assert outcome.found.class_counts == {"ash": 5, "oak": 6}
    assert data in outcome.table["image"]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "BMP", "WEBP", "TIFF", *(["AVIF"] if features.check("avif") else [])])
def test_every_format_is_told_by_its_content(take: Take, kind: str) -> None:
    assert take(zip_of({**CLASSES, "oak/x.file": png(kind=kind)}), "a.zip").found.rows == 11


@pytest.mark.parametrize(
    ("kind", "head"),
    [
        ("HEIC", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic"),
        ("DICOM", bytes(128) + b"DICM"),
        ("JPEG XL", b"\xff\n" + bytes(9)),
    ],
)
@pytest.mark.parametrize("ending", ["jpg", "heic", "x"])
def test_the_format_of_an_image_that_is_not_read_is_named(take: Take, kind: str, head: bytes, ending: str) -> None:
    outcome = take(zip_of({**CLASSES, f"oak/photo.{ending}": head}), "a.zip")
    assert [row.reason for row in outcome.skipped] == [f"a {kind} image, which is not read; convert it to PNG or JPEG"]


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


@pytest.mark.parametrize(
    "extra",
    [
        chunk(b"iCCP", b"wide\0\0" + zlib.compress(b"B" * 5_000_000)),
        chunk(b"zTXt", b"Comment\0\0" + zlib.compress(b"C" * 90_000_000)),
        chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(b"D" * 4_000_000)),
    ],
)
def test_a_png_with_long_texts_is_read_without_them(take: Take, extra: bytes) -> None:
    data = png(value=77)
    outcome = take(zip_of({**CLASSES, "oak/profile.png": data[:33] + extra + data[33:]}), "a.zip")
    assert outcome.found.rows == 11
    assert outcome.table["image"][-1] == data


def test_a_png_that_is_cut_short_stays_a_fault(take: Take) -> None:
    data = png((64, 64))
    broken = data[:33] + chunk(b"tEXt", b"Comment\0hello") + data[33 : len(data) // 2]
    outcome = take(zip_of({**CLASSES, "oak/broken.png": broken}), "a.zip")
    assert [row.where for row in outcome.skipped] == ["oak/broken.png"]


def test_a_tar_without_the_mark_ustar_is_read(take: Take) -> None:
    content, at = bytearray(tar_of(CLASSES)), 0
    while content[at]:
        size = tarfile.TarInfo.frombuf(bytes(content[at : at + 512]), "utf-8", "strict").size
        content[at + 257 : at + 512] = bytes(255)
        content[at + 148 : at + 156] = b" " * 8
        content[at + 148 : at + 156] = b"%06o\0 " % sum(content[at : at + 512])
        at += 512 + -(-size // 512) * 512
    assert b"ustar" not in content
    assert take(bytes(content), "old").found.class_counts == {"ash": 5, "oak": 5}


@pytest.mark.parametrize(
    "folder",
    [
        "@eaDir",
        ".thumbnails",
        "__MACOSX",
        ".ipynb_checkpoints",
        "oak/@eaDir/1.png",
        "oak/.AppleDouble",
        "$RECYCLE.BIN",
        "__pycache__",
    ],
)
def test_images_that_systems_leave_behind_are_counted_and_no_samples(take: Take, folder: str) -> None:
    litter = {f"{folder}/SYNOPHOTO_{i}.jpg": png(kind="JPEG") for i in range(3)}
    outcome = take(zip_of({**CLASSES, **litter, "oak/Thumbs.db": b"x", ".DS_Store": b"x"}), "a.zip")
    assert outcome.found.class_counts == {"ash": 5, "oak": 5}
    told = next(one.detail for one in outcome.found.warnings if one.code == "hidden_images_left_out")
    assert told.startswith("3 images")
    assert folder in told


def test_a_picture_in_another_kind_of_file_is_no_sample(take: Take) -> None:
    others = {"oak/list.txt": b"\xff\xd8\xff text", "oak/notes": b"plain words", "oak/raw.cr2": b"II*\0" + bytes(200)}
    outcome = take(tar_of({**CLASSES, **others}), "a.tar")
    assert outcome.found.rows == 10
    assert "ignored_files" in outcome.codes
