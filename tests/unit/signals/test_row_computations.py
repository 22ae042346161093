"""Blocks of rows have the same bits wherever they are computed."""

import json
from collections.abc import Callable
from typing import Literal

import pytest
import torch
from torch import Tensor

from worker.influence.activations import Trace
from worker.influence.leaf_gradients import BlockOfSamples, LeafGradients, LeafTable
from worker.influence.row_computations import GRAIN, Arrays, Merged, OnShare, RowComputation, alone, ranges
from worker.signals.measurements import Measurements, measure_checkpoints
from worker.signals.reference import Chosen, ReferenceSamples
from worker.signals.sample_groups import SampleGroups
from worker.signals.shared_computations import OPENED_BY

N, M, D, C, T = 2 * GRAIN + 300, 37, 6, 4, 3


def trace(rows: int, seed: int, *, shared: bool) -> Trace:
    draw = torch.Generator().manual_seed(seed)
    activations = torch.randn(1 if shared else T, rows, D, generator=draw).expand(T, -1, -1)
    return Trace(activations, torch.randn(T, rows, C, generator=draw), (0.1, 0.2, 0.05))


class Elsewhere:
    """Computes every block by the recipe, as a process does that has nothing else, the last block first."""

    def __init__(self, rows: int) -> None:
        self.rows, self.labels = rows, list[str]()

    def begin(self, computation: RowComputation, on_share: OnShare) -> Callable[[], Arrays]:
        recipe = computation.recipe
        assert recipe is not None
        self.labels.append(computation.label)
        # What a trace has now must not change with the checkpoints that are read later.
        arrays = {name: one.clone() for name, one in recipe.arrays.items()}
        numbers = json.loads(json.dumps(recipe.numbers))

        def end() -> Arrays:
            merged = Merged(computation.samples)
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


def measured(begin: Callable[..., Callable[[], Arrays]], kind: str) -> Measurements:
    train, known = trace(N, 1, shared=kind == "verified"), trace(M, 2, shared=kind == "verified")
    labels, known_labels = torch.arange(N) % C, torch.arange(M) % C
    reference = ReferenceSamples(known, known_labels, trusted=True)
    groups = None
    if kind == "verified":
        rows = torch.where(torch.arange(M) < 20, torch.arange(M) * 7, -1)
        reference = ReferenceSamples(known, known_labels, trusted=True, training_rows=rows)
    if kind == "grouped":
        groups = SampleGroups(torch.arange(N) // 3, torch.arange(M) * 5)
    if kind == "itself":
        columns = torch.arange(40) * 3
        reference = ReferenceSamples(train, labels[columns], columns=columns, weights=torch.full((40,), N / 40))

    def read(t: int, inner: bool) -> tuple[Tensor | None, Tensor | None]:
        return (train.activations[t] + 1, known.activations[t] + 1) if inner else (None, None)

    chosen = None
    if kind == "trees":
        draw = torch.Generator().manual_seed(3)
        tables = [
            LeafTable(torch.randn(2 * C, 5, generator=draw), torch.rand(2 * C, 5, generator=draw) + 1) for _ in range(T)
        ]
        known_side = leaves(M, "reference", tables)
        chosen = Chosen(leaves(N, "train", tables), known_side, known_side)
    return measure_checkpoints(train, labels, reference, C, 0, read, begin=begin, groups=groups, chosen=chosen)


def tensors(value: object, place: str = "") -> dict[str, Tensor]:
    if isinstance(value, Tensor):
        return {place: value}
    parts = dict(enumerate(value)) if isinstance(value, tuple) else getattr(value, "__dict__", {})
    return {name: one for key, part in parts.items() for name, one in tensors(part, f"{place}.{key}").items()}


@pytest.mark.parametrize("kind", ["trusted", "verified", "grouped", "itself", "trees"])
def test_blocks_that_other_processes_compute_have_the_bits_of_one_process(kind: str) -> None:
    expected, elsewhere = tensors(measured(alone, kind)), Elsewhere(GRAIN)
    found = tensors(measured(elsewhere.begin, kind))
    compared = {"itself": [], "verified": ["comparison-0"]}.get(kind, ["comparison-0", f"comparison-{T - 1}"])
    assert elsewhere.labels == [*compared, "pairs"]
    assert found.keys() == expected.keys()
    assert len(found) > 20
    for name, one in found.items():
        assert torch.equal(one, expected[name]), name
