"""Archives of images, and what hides in archives."""

import io
import struct
import tarfile
import zipfile

import pytest

from service.domain.errors import Invalid, Malformed, TooLarge, UnreadableType
from service.ingest import Limits
from service.ingest.detect import READERS, Reader
from service.ingest.readers.delimited import open_delimited
from service.ingest.source import RowSource, Upload
from tests.unit.ingest.uploads import Take, csv_of, npz_of, png, tar_of, zip_of

FOLDERS = {f"{name}/{i}.png": png(value=10 * i + len(name)) for name in ("cat", "horse") for i in range(3)}


@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz", "tgz"])
def test_class_folders_become_classes(take: Take, form: str) -> None:
    content = zip_of(FOLDERS) if form == "zip" else tar_of(FOLDERS, packed=form != "tar")
    outcome = take(content, f"pets.{form}")
    assert (outcome.found.modality, outcome.found.class_counts) == ("image", {"cat": 3, "horse": 3})
    assert outcome.table["image"] == list(FOLDERS.values())
    assert outcome.table["path"] == list(FOLDERS)
    assert outcome.kinds == {"image": "image"}
    assert outcome.found.inferred.label == "label"


def test_images_are_sorted_by_path(take: Take) -> None:
    outcome = take(zip_of(dict(reversed(FOLDERS.items()))), "a.zip")
    assert outcome.table["path"] == sorted(FOLDERS)


@pytest.mark.parametrize("outer", ["pets/", "a/b/", "./"])
def test_folders_around_all_say_nothing(take: Take, outer: str) -> None:
    outcome = take(tar_of({outer + path: data for path, data in FOLDERS.items()}), "a.tar")
    assert outcome.found.classes == ["cat", "horse"]


def test_folders_inside_a_class_belong_to_it(take: Take) -> None:
    files = {"cat/x/1.png": png(value=1), "cat/2.png": png(value=2), "dog/y/z/3.png": png(value=3)}
    assert take(zip_of(files), "a.zip").found.class_counts == {"cat": 2, "dog": 1}


def test_splits_may_come_first(take: Take) -> None:
    files = {f"{split}/{path}": data for split in ("train", "Test", "val") for path, data in FOLDERS.items()}
    outcome = take(zip_of(files), "a.zip")
    assert outcome.found.splits == {"test": 6, "train": 6, "validation": 6}
    assert outcome.found.classes == ["cat", "horse"]
    inside = take(zip_of({f"data/{path}": data for path, data in files.items()}), "a.zip")
    assert inside.found.splits == outcome.found.splits


def test_one_split_alone_still_says_so(take: Take) -> None:
    outcome = take(zip_of({f"test/{path}": data for path, data in FOLDERS.items()}), "a.zip")
    assert (outcome.found.splits, outcome.found.classes) == ({"test": 6}, ["cat", "horse"])


def test_what_systems_leave_behind_is_ignored(take: Take) -> None:
    litter = {"__MACOSX/cat/._0.png": b"x", ".DS_Store": b"x", "cat/.hidden.png": b"x", "cat/Thumbs.db": b"x"}
    outcome = take(zip_of({**FOLDERS, **litter}), "a.zip")
    assert (outcome.found.rows, outcome.skipped, outcome.codes) == (6, [], {"rare_class"})


def test_other_files_are_ignored_with_a_warning(take: Take) -> None:
    assert "ignored_files" in take(zip_of({**FOLDERS, "README.txt": b"hello"}), "a.zip").codes


@pytest.mark.parametrize(
    "path",
    ["../evil.png", "cat/../../evil.png", "/etc/evil.png", "C:\\evil.png", "..\\evil.png", "cat/..\\..\\evil.png"],
)
@pytest.mark.parametrize("pack", [zip_of, tar_of])
def test_a_member_whose_name_leads_out_is_skipped(take: Take, path: str, pack: type) -> None:
    outcome = take(pack({**FOLDERS, path: png()}), "a.bin")
    assert [row.reason for row in outcome.skipped] == ["the name leads out of the archive"]
    assert outcome.found.rows == 6


def test_links_in_a_tar_are_skipped(take: Take) -> None:
    file = io.BytesIO(tar_of(FOLDERS))
    with tarfile.open(fileobj=file, mode="a") as archive:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE):
            link = tarfile.TarInfo(f"cat/link{kind.decode()}.png")
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
    outcome = take(file.getvalue(), "a.tar")
    assert len(outcome.skipped) == 3
    assert all("link or special" in row.reason for row in outcome.skipped)


def test_images_outside_a_class_folder_are_skipped(take: Take) -> None:
    outcome = take(zip_of({**FOLDERS, "sample.png": png()}), "a.zip")
    assert [(row.where, row.reason) for row in outcome.skipped] == [("sample.png", "not in a class folder")]


def test_unreadable_images_are_skipped_by_name_and_the_rest_is_kept(take: Take) -> None:
    whole = png((64, 64))
    broken = {
        "cat/0a.png": b"",
        "cat/0b.jpg": b"no image",
        "cat/0c.png": whole[: len(whole) // 2],
        "dog/1.gif": b"GIF89a",
    }
    outcome = take(zip_of({**FOLDERS, **broken}), "a.zip")
    assert [row.where for row in outcome.skipped] == list(broken)
    assert all(row.reason for row in outcome.skipped)
    assert outcome.found.classes == ["cat", "horse"]
    assert [row.index for row in outcome.skipped] == [1, 2, 3, 6]


def test_an_image_of_too_many_pixels_is_skipped(take: Take) -> None:
    outcome = take(zip_of({**FOLDERS, "cat/big.png": png((101, 100))}), "a.zip", Limits(max_pixels=10_000))
    assert [row.reason for row in outcome.skipped] == ["too many pixels: 101 x 100, the limit is 10,000"]


def test_an_image_that_claims_a_gigapixel_is_skipped(take: Take) -> None:
    bomb = bytearray(png())
    bomb[16:24] = struct.pack(">II", 60_000, 60_000)
    outcome = take(zip_of({**FOLDERS, "cat/bomb.png": bytes(bomb)}), "a.zip")
    assert len(outcome.skipped) == 1
    assert outcome.skipped[0].where == "cat/bomb.png"


@pytest.mark.parametrize(
    ("mode", "kind"), [("L", "PNG"), ("RGBA", "PNG"), ("P", "GIF"), ("I;16", "PNG"), ("CMYK", "JPEG"), ("RGB", "BMP"),
                       ("RGB", "WEBP"), ("RGB", "TIFF")],
)  # fmt: skip
def test_images_of_every_mode_keep_their_bytes(take: Take, mode: str, kind: str) -> None:
    data = png(mode=mode, kind=kind)
    outcome = take(zip_of({f"a/1.{kind.lower()}": data, "b/2.PNG": png()}), "a.zip")
    assert outcome.table["image"][0] == data


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl"])
def test_metadata_beside_images_gives_labels(take: Take, name: str) -> None:
    rows = [
        ("a.png", "cat", 1),
        ("sub/b.png", "dog", 2),
        ("c.png", "cat", 3),
        ("gone.png", "dog", 4),
        ("a.png", "dog", 5),
    ]
    if name.endswith("csv"):
        table = "file_name,animal_label,size\n" + "\n".join(",".join(map(str, row)) for row in rows)
    else:
        table = "\n".join(f'{{"file_name": "{f}", "animal_label": "{a}", "size": {s}}}' for f, a, s in rows)
    files = {"a.png": png(value=1), "sub/b.png": png(value=2), "c.png": png(value=3), "d.png": png(value=4)}
    for outer in ("", "set/"):
        members = {outer + path: data for path, data in {**files, name: table.encode()}.items()}
        outcome = take(zip_of(members), "a.zip")
        assert outcome.found.inferred.label == "animal_label"
        assert dict(zip(outcome.table["path"], outcome.labels, strict=True)) == {
            f"{outer}a.png": "cat",
            f"{outer}c.png": "cat",
            f"{outer}sub/b.png": "dog",
        }
        assert [row.index for row in outcome.skipped] == [2, 4, 5]
        reasons = " | ".join(row.reason for row in outcome.skipped)
        assert "metadata has no row" in reasons
        assert "no image" in reasons
        assert "row already" in reasons


def test_metadata_in_each_split_gives_splits(take: Take) -> None:
    files: dict[str, bytes] = {}
    for split in ("train", "test"):
        files |= {f"{split}/{i}.png": png(value=i) for i in range(2)}
        files[f"{split}/metadata.csv"] = b"file_name,label\n0.png,a\n1.png,b\n"
    outcome = take(zip_of(files), "a.zip")
    assert (outcome.found.splits, outcome.found.class_counts) == ({"test": 2, "train": 2}, {"a": 2, "b": 2})


def test_metadata_may_have_columns_named_like_ours(take: Take) -> None:
    table = b"file_name,image,label,id\n0.png,x,a,k0\n1.png,y,b,k1\n"
    outcome = take(zip_of({"0.png": png(), "1.png": png(value=1), "metadata.csv": table}), "a.zip")
    assert outcome.table["id"] == ["0.png", "1.png"]
    assert outcome.table["image"] == [png(), png(value=1)]


def test_metadata_without_file_names_is_told(take: Take) -> None:
    with pytest.raises(Invalid, match="needs a column file_name"):
        take(zip_of({"0.png": png(), "metadata.csv": b"name,label\n0.png,a\n"}), "a.zip")


def test_images_with_no_label_are_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="folder named by its class"):
        take(zip_of({"0.png": png(), "1.png": png()}), "a.zip")


def test_one_class_folder_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="at least 2 classes"):
        take(zip_of({"cat/0.png": png(), "cat/1.png": png()}), "a.zip")


def test_a_table_in_an_archive_is_read_as_itself(take: Take) -> None:
    outcome = take(zip_of({"folder/data.csv": csv_of(10).encode(), "README": b"x"}), "a.zip")
    assert (outcome.found.modality, outcome.found.rows) == ("tabular", 10)
    nested = take(tar_of({"x.npz": npz_of(x=[[1.0], [2.0]], y=[0, 1])}, packed=True), "a.tar.gz")
    assert nested.found.rows == 2


def test_two_tables_in_an_archive_are_refused(take: Take) -> None:
    with pytest.raises(Invalid, match=r"exactly one table.*a\.csv, b\.csv"):
        take(zip_of({"a.csv": b"x,y\n", "b.csv": b"x,y\n"}), "a.zip")


def test_an_empty_archive_is_refused(take: Take) -> None:
    with pytest.raises(Invalid, match="it is empty"):
        take(zip_of({}), "a.zip")


def test_too_many_members_are_refused(take: Take) -> None:
    for content in (zip_of(FOLDERS), tar_of(FOLDERS)):
        with pytest.raises(TooLarge, match="more than 5 files"):
            take(content, "a.bin", Limits(max_members=5))


def test_a_zip_bomb_is_refused_before_it_is_expanded(take: Take) -> None:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("a/bomb.png", "w") as member:
        for _ in range(300):
            member.write(bytes(2**20))
    with pytest.raises(TooLarge, match="compression bomb"):
        take(file.getvalue(), "a.zip")
    with pytest.raises(TooLarge, match="100 bytes"):
        take(zip_of(FOLDERS), "a.zip", Limits(max_expanded_bytes=100))
    with pytest.raises(TooLarge, match="100 bytes"):
        take(tar_of(FOLDERS), "a.tar", Limits(max_expanded_bytes=100))


@pytest.mark.parametrize("keep", [0.3, 0.6, 0.95])
@pytest.mark.parametrize("form", ["zip", "tar", "tar.gz"])
def test_a_truncated_archive_is_told(take: Take, form: str, keep: float) -> None:
    files = {f"{name}/{i}.png": png((40, 40), value=i) for name in ("a", "b") for i in range(60)}
    content = zip_of(files) if form == "zip" else tar_of(files, packed=form == "tar.gz")
    size = len(content) if form != "tar" else 512 * 2 * len(files)
    with pytest.raises(Malformed):
        take(content[: int(size * keep) - 7], f"a.{form}")


def test_a_damaged_member_is_skipped(take: Take) -> None:
    content = bytearray(zip_of(FOLDERS))
    with zipfile.ZipFile(io.BytesIO(bytes(content))) as archive:
        info = archive.getinfo("cat/1.png")
    content[info.header_offset + 30 + len(info.filename) + 20] ^= 0xFF
    outcome = take(bytes(content), "a.zip")
    assert [(row.where, row.index) for row in outcome.skipped] == [("cat/1.png", 1)]


def test_an_encrypted_zip_is_told(take: Take) -> None:
    content = bytearray(zip_of(FOLDERS))
    content[content.rindex(b"PK\x01\x02") + 8] |= 1
    with pytest.raises(Invalid, match="password"):
        take(bytes(content), "a.zip")


def test_one_entry_makes_a_format_readable_alone_and_in_archives(take: Take, monkeypatch: pytest.MonkeyPatch) -> None:
    content = b"\0MARKED\n" + csv_of(9).encode()

    def open_marked(upload: Upload) -> RowSource:
        plain = upload.scratch / "plain.csv"
        plain.write_bytes(upload.path.read_bytes().removeprefix(b"\0MARKED\n"))
        return open_delimited(Upload(plain, upload.name, upload.spec, upload.limits, upload.scratch))

    with pytest.raises(UnreadableType):
        take(content, "a.marked")
    with pytest.raises(Invalid, match="exactly one table"):
        take(zip_of({"a.marked": content}), "a.zip")
    monkeypatch.setitem(
        READERS, "marked", Reader("marked CSV", open_marked, magic=(b"\0MARKED",), in_archives=(".marked",))
    )
    assert take(content, "a.marked").found.rows == 9
    assert take(zip_of({"a.marked": content}), "a.zip").found.rows == 9
    assert take(tar_of({"a.marked": content}, packed=True), "a.tgz").found.rows == 9
    with pytest.raises(UnreadableType, match="marked CSV"):
        take(b"%PDF-1.7", "a.pdf")


def test_a_tar_whose_first_header_has_damaged_attributes_is_malformed(take: Take) -> None:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        info = tarfile.TarInfo("cat/1.png")
        info.pax_headers = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0", "GNU.sparse.realsize": "10"}
        info.size = len(png())
        archive.addfile(info, io.BytesIO(png()))
    with pytest.raises(Malformed, match="the TAR archive is damaged"):
        take(file.getvalue(), "a.tar")
