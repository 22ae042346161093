"""Influence and leave-one-out scores of boosted trees equal slow loops over trees, leaves and pairs of samples."""

from functools import cache

import numpy as np
import pytest
import torch
from torch import Tensor

from service.domain.models.tabular import BoostedTreesParams
from tests.trees import COUNT, grown
from worker.influence.gradients import Leaves, class_sums, dot_with_sums, dots, self_products, squared_norms
from worker.influence.leaf_gradients import BlockOfSamples, LeafGradients, LeafTable, add_leaves, sum_leaves
from worker.job.tree_scoring import leaves_of

RATE, PENALTY, ROOM = 0.1, 1.0, 31


@cache
def read(classes: int) -> tuple[list[BlockOfSamples], list[LeafTable], Tensor, list[Tensor], list[Tensor]]:
    """Blocks, tables, labels, and scores after each block with and without the sample."""
    model, inputs, labels = grown(classes, BoostedTreesParams(smallest_leaf=5), blocks=2)
    values = model.matrix(*inputs)
    raw = without = torch.from_numpy(np.tile(model.start.numpy(), (COUNT, 1)))
    blocks, tables, after, alone = [], [], [], []
    for block in model.blocks():
        blocks.append(BlockOfSamples(leaves_of(block, values), raw))
        table, raw, without = sum_leaves(blocks[-1], labels, without, ROOM, RATE, PENALTY)
        tables.append(table)
        after.append(raw)
        alone.append(without)
    torch.testing.assert_close(after[-1], torch.from_numpy(model.raw(values)), rtol=0, atol=1e-6)
    return blocks, tables, labels, after, alone


def slow(classes: int) -> tuple[np.ndarray, np.ndarray]:
    """Influence [t, n, n] of every sample on every other, and scores after the last block without the sample, by loops."""
    blocks, _, labels, _, _ = read(classes)
    width = 1 if classes == 2 else classes
    influence = np.zeros((len(blocks), COUNT, COUNT))
    alone = blocks[0].before.numpy().copy()
    for t, block in enumerate(blocks):
        f = block.before.numpy().copy()
        leaves = block.leaves.numpy()
        for first in range(0, leaves.shape[1], width):
            g, h = np.zeros((COUNT, width)), np.zeros((COUNT, width))
            for i in range(COUNT):
                p = 1 / (1 + np.exp(-f[i])) if width == 1 else np.exp(f[i]) / np.exp(f[i]).sum()
                for k in range(width):
                    g[i, k] = p[k] - float(labels[i] == (1 if width == 1 else k))
                    h[i, k] = p[k] * (1 - p[k]) * (1 if width == 1 else classes / (classes - 1))
            for k in range(width):
                of = leaves[:, first + k]
                if not of.any():
                    continue
                for leaf in set(of.tolist()):
                    members = np.flatnonzero(of == leaf)
                    G, H = g[members, k].sum(), h[members, k].sum()  # noqa: N806 - the letters of the formula
                    theta = -G / (H + PENALTY)
                    for i in members.tolist():
                        alone[i, k] += RATE * np.clip(-(G - g[i, k]) / (H - h[i, k] + PENALTY), -4, 4)
                        for j in members.tolist():
                            influence[t, i, j] += RATE * (g[i, k] + theta * h[i, k]) * g[j, k] / (H + PENALTY)
                    f[members, k] += RATE * theta
    return influence, alone


@pytest.mark.parametrize("classes", [2, 3])
def test_leaf_sums_without_a_sample_are_those_of_a_slow_loop(classes: int) -> None:
    _, _, _, _, alone = read(classes)
    np.testing.assert_allclose(alone[-1].numpy(), slow(classes)[1], rtol=0, atol=1e-9)


@pytest.mark.parametrize("classes", [2, 3])
def test_influence_of_every_pair_its_class_sums_and_itself_are_those_of_a_slow_loop(classes: int) -> None:
    blocks, tables, labels, _, _ = read(classes)
    train, known = (LeafGradients(blocks, tables, RATE, side) for side in ("train", "reference"))
    expected, _ = slow(classes)
    largest = float(np.abs(expected).max())
    for t in range(len(blocks)):
        (ours,) = train.gradients(t, slice(0, COUNT), labels)
        (theirs,) = known.gradients(t, slice(0, COUNT), labels)
        assert isinstance(ours, Leaves)
        found = RATE * dots(ours, theirs).double().numpy()
        np.testing.assert_allclose(found, expected[t], rtol=0, atol=1e-5 * largest)
        by_class = RATE * dot_with_sums(ours, class_sums(theirs, labels, classes)).double().numpy()
        sums = np.stack([expected[t][:, labels.numpy() == c].sum(1) for c in range(classes)], 1)
        np.testing.assert_allclose(by_class, sums, rtol=0, atol=1e-5 * np.abs(sums).max())
        np.testing.assert_allclose(
            RATE * self_products(ours).numpy(), np.diag(expected[t]), rtol=0, atol=1e-5 * largest
        )
        assert not torch.allclose(squared_norms(ours), self_products(ours)), "the two sides differ"


def test_a_part_of_the_samples_and_many_columns_at_once_give_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    blocks, tables, labels, _, _ = read(3)
    train, known = (LeafGradients(blocks, tables, RATE, side) for side in ("train", "reference"))
    whole = dots(train.gradients(1, slice(0, COUNT), labels)[0], known.gradients(1, slice(0, COUNT), labels)[0])
    rows = torch.tensor([7, 3, 50])
    part = LeafGradients([one.rows(rows) for one in blocks], tables, RATE, "train")
    monkeypatch.setattr("worker.influence.gradients._AT_ONCE", 5 * tables[1].output.numel())
    again = dots(part.gradients(1, slice(0, 3), labels[rows])[0], known.gradients(1, slice(0, COUNT), labels)[0])
    assert torch.equal(again, whole[rows])


def test_scores_of_other_samples_are_added_up_from_the_same_leaves() -> None:
    blocks, tables, _, after, _ = read(3)
    torch.testing.assert_close(add_leaves(blocks[0], tables[0], RATE), after[0])
