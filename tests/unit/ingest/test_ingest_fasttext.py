"""Text as fastText takes it: a class and a text a line, which comes back as it was but for the labels."""

from functools import partial
from pathlib import Path

import pytest

from service.domain.dataset import DatasetSpec
from service.domain.errors import Conflict
from service.ingest import Limits
from service.ingest.rewritten.edits import Edits
from service.ingest.rewritten.forms import rewritten
from service.store.originals import Original
from tests.unit.ingest.uploads import Take, zip_of

LINES = [f"__label__{('good', 'bad')[i % 2]} this,  is number {i} of all\n" for i in range(40)]
TEXT = "".join(LINES)


@pytest.mark.parametrize("name", ["train.txt", "train.csv", "train.ft.txt"])
@pytest.mark.parametrize("change", [("", ""), ("\n", "\r\n"), ("label__good ", "label__good\t")])
def test_the_word_is_the_class_and_the_rest_the_text(take: Take, name: str, change: tuple[str, str]) -> None:
    outcome = take(TEXT.replace(*change) if change[0] else TEXT, name)
    assert outcome.found.modality == "text"
    assert outcome.labels == ["good", "bad"] * 20
    assert outcome.column("text")[3] == "this, is number 3 of all"
    assert take(zip_of({"train.ft.txt": TEXT.encode()}), "a.zip").labels == outcome.labels


def test_a_label_may_stand_anywhere_and_more_than_one_is_skipped(take: Take) -> None:
    odd = ["so __label__bad it is\n", "\n", "__label__bad __label__good both of them\n", "nothing at all\n"]
    outcome = take("".join([*LINES, *odd]), "train.txt")
    assert (outcome.found.rows, outcome.labels[-1], outcome.column("text")[-1]) == (41, "bad", "so it is")
    assert [(row.index, row.where, row.reason) for row in outcome.skipped] == [
        (41, "line 43", "it has several labels, bad, good; one class a line is expected"),
        (42, "line 44", "no word begins with __label__"),
    ]


def test_bytes_that_are_no_utf_8_cost_their_line(take: Take) -> None:
    outcome = take(TEXT.replace("all", "tous les étés").encode() + b"__label__bad caf\xe9 au lait\n", "train.txt")
    assert [row.where for row in outcome.skipped] == ["line 41"]
    assert "0xE9 is no UTF-8" in outcome.skipped[0].reason


def test_a_table_with_such_classes_is_a_table(take: Take) -> None:
    rows = "".join(line.replace(" ", "|", 1) for line in LINES)
    outcome = take(f"kind|words\n{rows}", "train.csv", label="kind")
    assert outcome.found.classes == ["__label__bad", "__label__good"]


def written(
    folder: Path, content: bytes, labels: dict[int, str], *removed: int, columns: tuple[str, ...] = ()
) -> bytes:
    (folder / "upload").write_bytes(content)
    kept = partial(iter, [(0, "good"), (1, "bad")])
    ids = dict.fromkeys([*labels, *removed], "")
    one = Original(folder / "upload", "train.txt", DatasetSpec())
    edits = Edits(labels, frozenset(removed), ids, kept, columns)
    return b"".join(rewritten(one, "label", edits, Limits(), folder))


@pytest.mark.parametrize(("mark", "encoding"), [(b"", "utf-8"), (b"\xef\xbb\xbf", "utf-8"), (b"\xff\xfe", "utf-16-le")])
def test_only_the_labels_that_change_and_the_lines_that_go_differ(tmp_path: Path, mark: bytes, encoding: str) -> None:
    lines = [*LINES[:6], " \n", "__label__bad __label__good x\n", *LINES[6:9], "the  last __label__good"]
    found = written(tmp_path, mark + "".join(lines).encode(encoding), {2: "bad", 10: "new"}, 4)
    lines[2], lines[-1] = lines[2].replace("good", "bad"), "the  last __label__new"
    del lines[4]
    assert found == mark + "".join(lines).encode(encoding)


def test_what_a_line_cannot_say_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Conflict, match="the class 'so so' cannot be written as fastText has them, in one word"):
        written(tmp_path, TEXT.encode(), {2: "so so"})
    with pytest.raises(Conflict, match="no room for more columns"):
        written(tmp_path, TEXT.encode(), {2: "bad"}, columns=("previous_label",))
