"""What was recorded is never lost: not by a restart, nor by a second training at the same path, nor by an interrupt."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from torch import Tensor, nn

from usual_suspects.recorder import TraceRecorder

N, WIDTH, CLASSES = 12, 4, 3


def samples(rows: int = N) -> tuple[Tensor, Tensor]:
    return torch.randn(rows, WIDTH, generator=torch.Generator().manual_seed(1)), torch.arange(rows) % CLASSES


def network(epoch: int, *, frozen: bool = False, bias: bool = True) -> nn.Module:
    """A model as it is after so many epochs; `frozen`: all but the last layer is as it was."""
    torch.manual_seed(0)
    model: Any = nn.Sequential(nn.Linear(WIDTH, 5), nn.ReLU(), nn.Linear(5, CLASSES, bias=bias))
    with torch.no_grad():
        model[2].weight.mul_(1 + epoch)
        model[0].weight.mul_(1 if frozen else 1 + epoch)
    return model  # type: ignore[no-any-return]  # a Module


def recorder(path: Path, epoch: int, *, frozen: bool = False, **options: Any) -> TraceRecorder:
    given: dict[str, Any] = {"reference": samples(7), "classes": list("abc"), **options}
    return TraceRecorder(network(epoch, frozen=frozen), samples(), path, **given)


def opened(path: Path) -> dict[str, Any]:
    with safe_open(path, framework="np") as file:
        found = {name: file.get_tensor(name).tolist() for name in file.keys()}  # noqa: SIM118  no mapping
        return found | (file.metadata() or {})


def whole(path: Path, *, frozen: bool = False, **options: Any) -> dict[str, Any]:
    """The file of a training of four epochs that nothing interrupts."""
    made = recorder(path, 0, frozen=frozen, **options)
    for epoch in range(1, 5):
        made._model.load_state_dict(network(epoch, frozen=frozen).state_dict())
        made.record(epoch / 10)
    return opened(made.close())


def part(path: Path, epochs: range, *, close: bool, frozen: bool = False, **options: Any) -> None:
    """Run a part of the same training, which is killed at its end unless it closes the recording."""
    made = recorder(path, epochs[0], frozen=frozen, existing="continue", **options)
    for epoch in epochs:
        made._model.load_state_dict(network(epoch, frozen=frozen).state_dict())
        made.record(epoch / 10, epoch)
    if close:
        made.close()


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("ids", [None, range(N), [f"s{place}" for place in range(N)]])
@pytest.mark.parametrize("first", ["closed", "killed", "closed and killed", "killed twice", "earlier checkpoint"])
def test_a_run_goes_on_with_the_recording_of_one_that_ended(
    tmp_path: Path, first: str, ids: Any, *, frozen: bool
) -> None:
    path = tmp_path / "run"
    named: dict[str, Any] = {"frozen": frozen}
    if ids is not None:
        named |= {"ids": ids, "reference_ids": [f"r{place}" for place in range(7)]}
    if first == "earlier checkpoint":
        part(path, range(1, 3), close=True, **named)
        part(path, range(2, 5), close=False, **named)
        part(path, range(3, 5), close=True, **named)
    else:
        part(path, range(1, 3), close="closed" in first, **named)
        if "and" in first or "twice" in first:
            part(path, range(3, 4), close=False, **named)
            part(path, range(4, 5), close=True, **named)
        else:
            part(path, range(3, 5), close=True, **named)
    assert opened(path) == whole(tmp_path / "whole", **named)
    assert {one.name for one in tmp_path.iterdir()} == {"run", "whole"}


def test_an_epoch_whose_arrays_are_not_complete_is_recorded_anew(tmp_path: Path) -> None:
    path = tmp_path / "run"
    part(path, range(1, 4), close=False)
    with (tmp_path / "run.arrays" / "rank-0" / "logits_3").open("r+b") as file:
        file.truncate(5)
    made = recorder(path, 3, existing="continue")
    made.record(0.3)
    made._model.load_state_dict(network(4).state_dict())
    made.record(0.4)
    assert opened(made.close()) == whole(tmp_path / "whole")


@pytest.mark.parametrize("close", [True, False])
def test_nothing_is_replaced_unless_it_is_asked_for(tmp_path: Path, close: bool) -> None:
    path = tmp_path / "run"
    part(path, range(1, 3), close=close)
    before = {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()}
    match = (
        r'run is there; give existing="continue"' if close else r"run.arrays has epochs 1 to 2 of a run that was not"
    )
    with pytest.raises(ValueError, match=match):
        recorder(path, 0, existing="refuse")
    if not close:
        with pytest.raises(ValueError, match=match):
            recorder(path, 0)
    assert {one: one.read_bytes() for one in tmp_path.rglob("*") if one.is_file()} == before
    made = recorder(path, 0, existing="replace")
    made.record(0.1)
    assert {name for name in opened(made.close()) if name.startswith("logits_")} == {"logits_1"}


@pytest.mark.parametrize("close", [True, False])
@pytest.mark.parametrize(
    ("other", "said"),
    [
        (lambda path: recorder(path, 0, classes=["a", "b", "d"], existing="continue"), "classes differ"),
        (lambda path: recorder(path, 0, reference=samples(8), existing="continue"), "reference_labels differ"),
        (lambda path: recorder(path, 0, reference=None, existing="continue"), "reference_labels differ"),
        (
            lambda path: recorder(path, 0, ids=range(N), reference_ids=range(20, 27), existing="continue"),
            "ids, reference_ids differ",
        ),
        (
            lambda path: TraceRecorder(
                network(0, bias=False),
                samples(13),
                path,
                existing="continue",
                reference=samples(7),
                classes=list("abc"),
            ),
            "bias, labels differ",
        ),
    ],
)
def test_another_recording_is_not_continued(
    tmp_path: Path, close: bool, other: Callable[[Path], TraceRecorder], said: str
) -> None:
    path = tmp_path / "run"
    part(path, range(1, 3), close=close)
    with pytest.raises(ValueError, match=f"cannot be continued: {said}; give existing=.replace"):
        other(path)


def test_samples_of_an_own_run_are_compared_by_the_first_record(tmp_path: Path) -> None:
    def run(model: nn.Module, batch: Any) -> tuple[Any, Tensor]:
        return model(batch[0]), batch[1]

    path = tmp_path / "run"
    made = TraceRecorder(network(1), samples(), path, run=run)
    made.record(0.1)
    made.close()
    again = TraceRecorder(network(2), samples(), path, run=run, existing="continue")
    again.record(0.1)
    other = TraceRecorder(network(2), samples(9), path, run=run, existing="continue")
    with pytest.raises(ValueError, match="cannot be continued: labels differ"):
        other.record(0.1)


def test_a_finished_recording_stays_until_the_next_one_is_closed_and_an_empty_file_is_none(tmp_path: Path) -> None:
    path = tmp_path / "run"
    path.touch()
    part(path, range(1, 3), close=True)
    before = path.read_bytes()
    made = recorder(path, 0)
    made.record(0.1)
    assert path.read_bytes() == before
    assert {name for name in opened(made.close()) if name.startswith("logits_")} == {"logits_1"}


@pytest.mark.parametrize("existing", [None, "refuse", "continue"])
def test_a_file_of_another_kind_is_not_replaced(tmp_path: Path, existing: str | None) -> None:
    (tmp_path / "run").write_text("weights of a week")
    with pytest.raises(ValueError, match=r'give .*existing="replace" to begin anew'):
        recorder(tmp_path / "run", 0, existing=existing)
    assert (tmp_path / "run").read_text() == "weights of a week"
    (tmp_path / "other.arrays").mkdir()
    (tmp_path / "other.arrays" / "mine").write_text("of a week, too")
    with pytest.raises(
        ValueError, match=r"other.arrays, where arrays are kept meanwhile, is there and has other files"
    ):
        recorder(tmp_path / "other", 0, existing="replace")
    assert (tmp_path / "other.arrays" / "mine").exists()
    with pytest.raises(ValueError, match="is a folder; give the path of a file"):
        recorder(tmp_path, 0, existing="replace")
    with pytest.raises(ValueError, match="existing='ask' is none of refuse, continue, replace"):
        recorder(tmp_path / "new", 0, existing="ask")


def test_an_interrupt_leaves_a_file_that_the_next_run_continues(tmp_path: Path) -> None:
    path = tmp_path / "run"

    def interrupted() -> None:
        with recorder(path, 1) as made:
            made.record(0.1)
            made._model.load_state_dict(network(2).state_dict())
            made.record(0.2)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    part(path, range(3, 5), close=True)
    assert opened(path) == whole(tmp_path / "whole")


def test_closing_again_gives_the_same_file_and_nothing_is_recorded_after_it(tmp_path: Path) -> None:
    with recorder(tmp_path / "run", 1) as made:
        made.record(0.1)
        path = made.close()
        before = path.stat()
        assert made.close() == path
        with pytest.raises(
            ValueError, match='is closed; to add epochs make another TraceRecorder with existing="continue"'
        ):
            made.record(0.1)
    assert path.stat() == before
