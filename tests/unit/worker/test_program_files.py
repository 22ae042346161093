"""Files of exported programs that are damaged, or that say of themselves what cannot be."""

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from service.domain.errors import Invalid, SuspectsError, UnreadableType
from service.store import programs
from service.store.programs import ProgramFile
from tests.unit.worker.programs import export, made, sample, tampered
from worker.backbones.exported_program import open_body


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(made("table"), sample("table"), tmp_path_factory.mktemp("table") / "table.pt2")


def changed(path: Path, to: Path, ending: str, change: Callable[[Any], None]) -> Path:
    """A copy in which one description says something else."""

    def told(content: bytes) -> bytes:
        described = json.loads(content)
        change(described)
        return json.dumps(described).encode()

    return tampered(path, to, {ending: told})


# Places in the two headers of a member, and what is written there.
DAMAGE: dict[str, tuple[int, int, bytes]] = {
    "an unknown method": (8, 10, b"\x63\x00"),
    "bzip2 that is none": (8, 10, b"\x0c\x00"),
    "LZMA that is none": (8, 10, b"\x0e\x00"),
    "deflated data that is none": (8, 10, b"\x08\x00"),
    "a later version": (4, 6, b"\xff\x00"),
    "encryption": (6, 8, b"\x01\x00"),
    "patched data": (6, 8, b"\x20\x00"),
    "another checksum": (14, 16, b"\x00\x00"),
}


def damaged(path: Path, to: Path, ending: str, damage: str) -> Path:
    with zipfile.ZipFile(path) as archive:
        member = next(one for one in archive.infolist() if one.filename.endswith(ending))
    content = bytearray(path.read_bytes())
    local, central, written = DAMAGE[damage]
    entry = content.rindex(member.filename.encode()) - 46  # the directory is at the end
    for place in (member.header_offset + local, entry + central):
        content[place : place + len(written)] = written
    to.write_bytes(content)
    return to


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("ending", ["models/model.json", "weight_0"])
def test_damage_is_told_of_the_member_that_has_it(damage: str, ending: str, table: Path, tmp_path: Path) -> None:
    path = damaged(table, tmp_path / "damaged.pt2", ending, damage)
    with pytest.raises((Invalid, UnreadableType), match=rf"{ending} cannot be read|not a whole archive"):
        open_body(path, None)


def test_a_flipped_bit_of_a_weight_is_seen(table: Path, tmp_path: Path) -> None:
    with ProgramFile(table) as file:
        weight = next(one for one in file.program().weights if one.name == "1.weight")
        held = file.bytes_of(weight)
    content = bytearray(table.read_bytes())
    content[content.index(held)] ^= 1
    (tmp_path / "flipped.pt2").write_bytes(content)
    with pytest.raises(Invalid, match=r"weight_\d cannot be read: Bad CRC"):
        open_body(tmp_path / "flipped.pt2", None)


def test_no_cut_or_overwritten_archive_is_an_error_of_ours(table: Path, tmp_path: Path) -> None:
    content = table.read_bytes()
    path = tmp_path / "broken.pt2"
    for place in range(len(content) - 1500, len(content), 7):
        broken = bytearray(content)
        broken[place] ^= 0xFF
        path.write_bytes(broken)
        try:
            open_body(path, None)
        except SuspectsError as error:
            assert error.detail  # noqa: PT017  # most bytes matter, and some do not


@pytest.mark.parametrize("text", ["\ud800", "a\0b"])
@pytest.mark.parametrize(
    "place",
    [
        lambda model: model["graph_module"]["signature"]["input_specs"][0]["parameter"],
        lambda model: model["graph_module"]["graph"]["nodes"][0],
    ],
)
def test_what_no_answer_can_hold_is_no_name(text: str, place: Any, table: Path, tmp_path: Path) -> None:
    def change(model: Any) -> None:
        found = place(model)
        found["parameter_name" if "parameter_name" in found else "target"] = text

    path = changed(table, tmp_path / "names.pt2", "models/model.json", change)
    with pytest.raises(Invalid, match="not as torch writes it") as caught:
        open_body(path, None)
    assert caught.value.detail.encode()


def test_a_refusal_can_be_sent_whatever_it_names(table: Path, tmp_path: Path) -> None:
    def change(model: Any) -> None:
        model["graph_module"]["signature"]["input_specs"][0] = {"\ud800": {}}

    path = changed(table, tmp_path / "kinds.pt2", "models/model.json", change)
    with pytest.raises(Invalid, match=r"an input of kind \\ud800") as caught:
        open_body(path, None)
    assert caught.value.detail.encode()


def test_descriptions_that_would_fill_the_memory_are_refused_unread(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tampered(table, tmp_path / "many.pt2", {"models/model.json": lambda _: b"[" + b"[]," * 1_000_000 + b"1]"})
    with pytest.raises(Invalid, match=r"more than 2,000,000 values"):
        open_body(path, None)
    long = tampered(table, tmp_path / "long.pt2", {"models/model.json": lambda _: b" " * (2**25 - 100) + b"{}"})
    with pytest.raises(Invalid, match=r"longer than 33,554,432 bytes"):
        open_body(long, None)
    monkeypatch.setattr(programs, "_LONGEST", 100)
    with pytest.raises(Invalid, match=r"longer than 100 bytes"):
        open_body(table, None)


@pytest.mark.parametrize("size", [1.5, "abc", [1], float("nan"), None, -3, 0, True, 2**29, 10**30])
def test_an_input_has_sizes_that_can_be(size: Any, table: Path, tmp_path: Path) -> None:
    def change(model: Any) -> None:
        graph = model["graph_module"]["graph"]
        (given,) = [
            one["user_input"]["arg"]["as_tensor"]["name"]
            for one in model["graph_module"]["signature"]["input_specs"]
            if "user_input" in one
        ]
        graph["tensor_values"][given]["sizes"][1] = {"as_int": size}

    path = changed(table, tmp_path / "sized.pt2", "models/model.json", change)
    with pytest.raises(Invalid, match=r"is no size|numbers"):
        open_body(path, None)


@pytest.mark.parametrize(
    ("sizes", "strides", "reason"),
    [
        ([2**34, 5], [0, 0], "become 343,597,"),
        ([10**12] * 17, [0] * 17, "of a type that is not read"),
        ([10**18] * 3, [0] * 3, "is no size"),
        ([2**39] * 12, [0] * 12, "many times what it stores"),
        ([0, 2**39, 2**39], [0, 0, 0], "many times what it stores"),
        ([8.0, 5], [5, 1], "is no size"),
    ],
)
def test_a_tensor_is_not_out_of_proportion_to_what_is_stored(
    sizes: list[Any], strides: list[int], reason: str, table: Path, tmp_path: Path
) -> None:
    def change(weights: Any) -> None:
        meta = weights["config"]["1.weight"]["tensor_meta"]
        meta["sizes"] = [{"as_int": size} for size in sizes]
        meta["strides"] = [{"as_int": stride} for stride in strides]

    path = changed(table, tmp_path / "large.pt2", "weights_config.json", change)
    with pytest.raises(Invalid, match=reason):
        open_body(path, None)


def test_a_tensor_that_repeats_what_it_stores_is_read(tmp_path: Path) -> None:
    class Repeating(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("mask", torch.full((1,), 2.0).expand(300, 5))
            self.fc = nn.Linear(5, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            logits: torch.Tensor = self.fc(x * self.get_buffer("mask")[0])
            return logits

    path = export(Repeating(), sample("table"), tmp_path / "repeating.pt2")
    torch.testing.assert_close(open_body(path, None)(sample("table")), 2 * sample("table"))
