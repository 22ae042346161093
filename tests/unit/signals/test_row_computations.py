"""Blocks of rows have the same bits wherever they are computed."""

import json
from collections.abc import Callable
from typing import Any, Literal

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from worker.influence.activations import Trace
from worker.influence.leaf_gradients import BlockOfSamples, LeafGradients, LeafTable
from worker.influence.row_computations import GRAIN, Arrays, Merged, OnShare, RowComputation, alone, ranges
from worker.machine.devices import CPU
from worker.signals import class_computation
from worker.signals.measurements import Measurements, measure_checkpoints
from worker.signals.reference import Chosen, ReferenceSamples
from worker.signals.sample_groups import SampleGroups
from worker.signals.shared_computations import OPENED_BY

N, M, D, C, T = 2 * GRAIN + 300, 37, 6, 4, 3


def trace(rows: int, seed: int, *, shared: bool) -> Trace:
    draw = torch.Generator().manual_seed(seed)
    activations = torch.randn(1 if shared else T, rows, D, generator=draw).expand(T, -1, -1)
    return Trace(activations, torch.randn(T, rows, C, generator=draw), (0.1, 0.2, 0.05))


class Products(TorchDispatchMode):  # type: ignore[no-untyped-call] # torch has no types for it
    """Notes the shapes of all products of matrices."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call] # as above
        self.shapes: set[tuple[object, ...]] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        name = func.overloadpacket.__name__
        if "mm" in name or "cdist" in name:
            self.shapes.add((name, *(one.shape for one in args if isinstance(one, Tensor))))
        return func(*args, **(kwargs or {}))


class Elsewhere:
    """Computes every block by the recipe, as a process does that has nothing else, the last block first."""

    def __init__(self, rows: int) -> None:
        self.rows, self.labels = rows, list[str]()
        self.products = Products()

    def begin(self, computation: RowComputation, on_share: OnShare) -> Callable[[], Arrays]:
        recipe = computation.recipe
        assert recipe is not None
        self.labels.append(computation.label)
        # What a trace has now must not change with the checkpoints that are read later.
        arrays = {name: one.clone() for name, one in recipe.arrays.items()}
        numbers = json.loads(json.dumps(recipe.numbers))

        def end() -> Arrays:
            merged = Merged(computation.samples)
            with self.products:
                for rows in reversed(ranges(slice(0, computation.samples), self.rows)):
                    merged.add(rows, OPENED_BY[recipe.name](arrays, numbers)(rows))
            on_share(1.0)
            return merged.arrays

        return end


def leaves(rows: int, side: Literal["train", "reference"], tables: list[LeafTable]) -> LeafGradients:
    draw = torch.Generator().manual_seed(rows)
    blocks = [
        BlockOfSamples(
            torch.randint(0, 5, (rows, 2 * C), generator=draw, dtype=torch.uint8), torch.randn(rows, C, generator=draw)
        )
        for _ in tables
    ]
    return LeafGradients(blocks, tables, 0.1, side)


def measured(
    begin: Callable[..., Callable[[], Arrays]],
    kind: str,
    on_progress: OnShare = lambda _share: None,
    device: torch.device = CPU,
) -> Measurements:
    train, known = trace(N, 1, shared=kind == "verified"), trace(M, 2, shared=kind == "verified")
    labels, known_labels = torch.arange(N) % C, torch.arange(M) % C
    reference = ReferenceSamples(known, known_labels, trusted=True)
    groups = None
    if kind == "verified":
        rows = torch.where(torch.arange(M) < 20, torch.arange(M) * 7, -1)
        reference = ReferenceSamples(known, known_labels, trusted=True, training_rows=rows)
    if kind in ("grouped", "itself, grouped"):
        groups = SampleGroups(torch.arange(N) // 3, torch.arange(M) * 5)
    if kind.startswith("itself"):
        columns = torch.arange(40) * 3
        reference = ReferenceSamples(train, labels[columns], columns=columns, weights=torch.full((40,), N / 40))

    def read(t: int, inner: bool) -> tuple[Tensor | None, Tensor | None]:
        return (train.activations[t] + 1, known.activations[t] + 1) if inner else (None, None)

    chosen = None
    if kind.endswith("trees"):
        draw = torch.Generator().manual_seed(3)
        tables = [
            LeafTable(torch.randn(2 * C, 5, generator=draw), torch.rand(2 * C, 5, generator=draw) + 1) for _ in range(T)
        ]
        known_side = whole = leaves(M, "reference", tables)
        if kind == "itself, trees":
            whole = leaves(N, "reference", tables)
            known_side = LeafGradients([one.rows(columns) for one in whole.blocks], tables, 0.1, "reference")
        chosen = Chosen(leaves(N, "train", tables), whole, known_side)
    return measure_checkpoints(
        train,
        labels,
        reference,
        C,
        0,
        read,
        begin=begin,
        groups=groups,
        chosen=chosen,
        device=device,
        on_progress=on_progress,
    )


def tensors(value: object, place: str = "") -> dict[str, Tensor]:
    if isinstance(value, Tensor):
        return {place: value}
    parts = dict(enumerate(value)) if isinstance(value, tuple) else getattr(value, "__dict__", {})
    return {name: one for key, part in parts.items() for name, one in tensors(part, f"{place}.{key}").items()}


@pytest.mark.parametrize(
    "kind", ["trusted", "verified", "grouped", "itself", "itself, grouped", "itself, trees", "trees"]
)
def test_blocks_that_other_processes_compute_have_the_bits_of_one_process(kind: str) -> None:
    expected, elsewhere = tensors(measured(alone, kind)), Elsewhere(GRAIN)
    found = tensors(measured(elsewhere.begin, kind))
    compared = {"verified": ["comparison-0"]}.get(kind, ["comparison-0", f"comparison-{T - 1}"])
    if kind.startswith("itself"):
        compared = []
    # Rows of one group lie anywhere, and guesses without it are no computation over rows.
    guesses = set() if "grouped" in kind else {"held-out-errors", "held-out-scores"}
    # Where trees have a reference of their own, influence on classes is added up from the pairs.
    by_class = set() if kind == "trees" else {"influence-0"}
    assert set(elsewhere.labels) == {*compared, *guesses, *by_class, "isolation", "pairs"}
    assert len(elsewhere.labels) == len(set(elsewhere.labels))
    assert found.keys() == expected.keys()
    assert len(found) > 20
    for name, one in found.items():
        assert torch.equal(one, expected[name]), name


@pytest.mark.parametrize("kind", ["verified", "grouped", "itself", "itself, trees", "trees"])
def test_rows_are_divided_alike_in_blocks_of_any_size(kind: str) -> None:
    # Libraries of products choose their kernels, and so the bits, by the number of rows.
    small, large = Elsewhere(GRAIN), Elsewhere(3 * GRAIN)
    measured(small.begin, kind)
    measured(large.begin, kind)
    assert len(small.products.shapes) > 3
    assert small.products.shapes == large.products.shapes


def test_sums_that_would_take_too_much_memory_are_kept_for_fewer_checkpoints(monkeypatch: pytest.MonkeyPatch) -> None:
    expected, elsewhere = tensors(measured(alone, "itself")), Elsewhere(GRAIN)
    monkeypatch.setattr(class_computation, "_HELD", 1)
    found = tensors(measured(elsewhere.begin, "itself"))
    assert [one for one in elsewhere.labels if one.startswith("influence")] == [f"influence-{t}" for t in range(T)]
    for name, one in found.items():
        assert torch.equal(one, expected[name]), name


def test_the_share_done_grows_to_one_and_parts_count_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(class_computation, "_HELD", 1)
    for kind in ("itself", "verified", "trees"):
        shares: list[float] = []
        measured(alone, kind, shares.append)
        assert shares == sorted(shares)
        assert shares[-1] == 1
        assert shares[-2] == pytest.approx(1)
