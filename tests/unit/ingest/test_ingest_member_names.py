"""Names of files in archives: their encoding, their form, and what is no URL in them."""

import io
import json
import struct
import tarfile
import unicodedata
import warnings
import zipfile
import zlib
from collections.abc import Iterable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.domain.errors import Invalid
from service.ingest.readers.listing import Listing, Member
from service.ingest.readers.member_names import decoded
from service.ingest.readers.pictures import ArchiveImages
from tests.unit.ingest.uploads import Take, png, tar_of, zip_of


class _Unflagged(zipfile.ZipInfo):
    """A file of a ZIP whose name is written as these bytes, without the flag of UTF-8."""

    raw = b""

    def _encodeFilenameFlags(self) -> tuple[bytes, int]:  # noqa: N802  zipfile's own name
        return self.raw, self.flag_bits & ~0x800


def unflagged_zip(files: Iterable[tuple[bytes, bytes]], extra: bytes = b"") -> bytes:
    """A ZIP of members with these raw names."""
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for number, (name, content) in enumerate(files):
            info = _Unflagged(f"{number}")
            info.raw, info.extra = name, extra
            archive.writestr(info, content)
    return file.getvalue()


@pytest.mark.parametrize(
    ("encoding", "names"),
    [
        ("utf-8", ("鸟", "鱼")),
        ("cp437", ("Bär", "Kühe")),
        ("cp932", ("りんご", "みかん")),
        ("cp932", ("鳥", "魚")),
        ("gbk", ("鸟", "鱼")),
        ("gbk", ("完好", "破损")),
        ("cp866", ("яблоко", "груша")),
        ("cp1251", ("яблоко", "груша")),
        ("cp949", ("사과", "자동차")),
        ("big5", ("蘋果", "香蕉")),
        ("cp850", ("maçã", "limão")),
        ("cp1252", ("thé", "café")),
    ],
)
def test_names_without_an_encoding_are_read_by_plausibility(take: Take, encoding: str, names: tuple[str, str]) -> None:
    files = [(f"{name}/{i}.png".encode(encoding), png(value=i)) for name in names for i in range(5)]
    outcome = take(unflagged_zip(files), "a.zip")
    assert set(outcome.found.classes) == set(names)
    told = next(one.detail for one in outcome.found.warnings if one.code == "names_decoded")
    assert encoding in told
    assert "10 names" in told


def test_names_in_a_tar_that_are_no_utf8_are_read_by_plausibility(take: Take) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.GNU_FORMAT, encoding="cp932") as archive:
        for name in ("りんご", "みかん"):
            for i in range(5):
                info = tarfile.TarInfo(f"{name}/{i}.png")
                info.size = len(png(value=i))
                archive.addfile(info, io.BytesIO(png(value=i)))
    outcome = take(file.getvalue(), "a.tar")
    assert outcome.found.class_counts == {"みかん": 5, "りんご": 5}
    assert "names_decoded" in outcome.codes


def test_the_field_of_unicode_paths_is_honoured(take: Take) -> None:
    raw = b"?/0.png"
    name = "鳥/0.png".encode()
    field = b"\1" + struct.pack("<L", zlib.crc32(raw)) + name
    extra = struct.pack("<HH", 0x7075, len(field)) + field
    files = [(raw, png()), *((f"b/{i}.png".encode(), png(value=i)) for i in range(3))]
    outcome = take(unflagged_zip(files, extra), "a.zip")
    assert outcome.found.class_counts == {"b": 3, "鳥": 1}
    assert "names_decoded" not in outcome.codes


@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0/\\"), min_size=1), min_size=1, unique=True))
def test_utf8_names_come_back_whatever_they_are(names: list[str]) -> None:
    assert decoded([name.encode() for name in names])[0] == names


@given(st.lists(st.binary(min_size=1), min_size=1, unique=True))
def test_names_of_any_bytes_stay_different(names: list[bytes]) -> None:
    assert len(set(decoded(names)[0])) == len(names)


@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_paths_are_composed(take: Take, pack: type) -> None:
    classes = ("müsli", "brötchen")
    files = {unicodedata.normalize("NFD", f"{name}/{i}.png"): png(value=i) for name in classes for i in range(4)}
    outcome = take(pack(files), "a.bin")
    assert set(outcome.found.classes) == set(classes)
    assert all(unicodedata.is_normalized("NFC", path) for path in outcome.table["path"])


def test_two_names_that_differ_in_their_form_are_two_files(take: Take) -> None:
    files = {f"a/{unicodedata.normalize(form, 'ö')}.png": png(value=len(form)) for form in ("NFC", "NFD")}
    outcome = take(zip_of({**files, "b/1.png": png()}), "a.zip")
    assert outcome.found.rows == 3
    assert len(set(outcome.table["path"])) == 3


def test_of_files_with_one_name_the_last_counts(take: Take) -> None:
    file = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(file, "w") as archive:
        warnings.simplefilter("ignore")
        for name, value in (("a/1.png", 1), ("b/1.png", 2), ("a/1.png", 3)):
            archive.writestr(name, png(value=value))
    outcome = take(file.getvalue(), "a.zip")
    assert outcome.table["image"] == [png(value=3), png(value=2)]
    assert [row.reason for row in outcome.skipped] == ["the archive has a later file of the same name"]


@pytest.mark.parametrize(
    "name", ["dog #{}.png", "dog {}?.png", "50%{}.png", "dog%20{}.png", "a+b {}.png", "x={}&y#z.png"]
)
def test_a_path_of_a_tool_is_no_url(take: Take, name: str) -> None:
    names = [name.format(i) for i in range(6)]
    document = {
        "images": [{"id": i, "file_name": one} for i, one in enumerate(names)],
        "annotations": [{"id": i, "image_id": i, "category_id": i % 2} for i in range(6)],
        "categories": [{"id": 0, "name": "husky"}, {"id": 1, "name": "poodle"}],
    }
    files = {one: png(value=i) for i, one in enumerate(names)}
    outcome = take(zip_of({**files, "labels.json": json.dumps(document).encode()}), "a.zip")
    assert outcome.table["image"] == list(files.values())


_PLAIN = st.text(
    st.characters(codec="utf-8", categories=("L", "N", "P", "Zs"), exclude_characters="/\\"), min_size=1
).filter(lambda name: name not in (".", ".."))


@given(
    _PLAIN,
    st.sampled_from(
        ["{}", "x/{}", "./{}", "x\\{}", "https://host/d/{quoted}?v=1#top", "/data/local-files/?d=x/{quoted}"]
    ),
)
def test_an_image_is_found_by_its_name_however_it_is_referred_to(name: str, form: str) -> None:
    path = unicodedata.normalize("NFC", f"x/{name}.png")
    member = Member(path, 1, 0)
    images = ArchiveImages(Listing((member,), NotImplemented), [member])
    reference = form.format(f"{name}.png", quoted=quote(f"{name}.png"))
    assert images.find(reference) == member
    assert images.find(unicodedata.normalize("NFD", reference)) == member


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({8: 9, 10: 9}, "packed with Deflate64"),
        ({8: 98, 10: 98}, "packed with PPMd"),
        ({8: 99, 10: 99}, "encrypted; upload it without a password"),
        ({8: 77, 10: 77}, "packed with method 77"),
    ],
)
@pytest.mark.parametrize("name", ["a/1.png", "x.npy"])
def test_a_method_that_cannot_be_unpacked_is_named(take: Take, change: dict[int, int], reason: str, name: str) -> None:
    content = bytearray(zip_of({name: png()}))
    for mark, at in ((b"PK\x03\x04", 8), (b"PK\x01\x02", 10)):
        found = content.index(mark)
        content[found + at : found + at + 2] = struct.pack("<H", change[at])
    with pytest.raises(Invalid, match=reason) as raised:
        take(bytes(content), "a.zip")
    assert "damaged" not in str(raised.value)


@pytest.mark.parametrize("method", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_methods_that_are_known_are_unpacked(take: Take, method: int) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name in ("a", "b"):
            archive.writestr(f"{name}/1.png", png())
    assert take(file.getvalue(), "a.zip").found.rows == 2


def test_one_part_of_a_zip_in_several_files_is_told(take: Take) -> None:
    content = bytearray(zip_of({"a/1.png": png(), "b/1.png": png()}))
    at = content.rindex(b"PK\x05\x06")
    content[at + 4 : at + 8] = struct.pack("<HH", 2, 2)
    with pytest.raises(Invalid, match="one part of a ZIP in several files"):
        take(bytes(content), "a.zip")


def test_a_file_without_a_name_costs_no_other(take: Take) -> None:
    pictures = [(f"{kind}/{number}.png".encode(), png(value=number)) for number, kind in enumerate("aabb")]
    outcome = take(unflagged_zip([(b"", b"x"), *pictures]), "pictures.zip")
    assert outcome.labels == ["a", "a", "b", "b"]
