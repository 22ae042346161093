"""Influence of boosted trees (BoostIn, arXiv:2205.00359, with the structure of the trees held fixed), and scores without a sample.

Letters: i = training sample, j = any sample, l = leaf, f = raw score, g = p - 1[y] and h = K / (K - 1) p (1 - p), of two classes
p (1 - p), = derivatives of the loss for f before a round, G and H = their sums over a leaf, L = penalty, eta = learning rate. A leaf
adds eta theta_l to f, theta_l = -G_l / (H_l + L); without sample i it would add -eta (G_l - g_i) / (H_l - h_i + L). A little more
weight of i moves theta_l by -(g_i + theta_l h_i) / (H_l + L), and with it the loss of each sample j in the leaf by g_j eta times that:

    I_ij = sum over trees of eta 1[l_i = l_j] (g_i + theta_l h_i) g_j / (H_l + L)

The two sides differ, so that I_ij is not I_ji. Each side takes one root of H_l + L. A checkpoint is a block of rounds of w trees each:
one tree a class, or one where there are two classes.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from worker.influence.gradient_sources import Rows
from worker.influence.gradients import Gradient, Leaves

_FARTHEST = 4.0  # output of a leaf without one of its samples, at most: hardly any other may be in it


@dataclass(frozen=True)
class LeafTable:
    """One block's trees, with room for s leaves each: `output` theta_l and `weight` H_l + L.

    A tree that found no split adds nothing: its output is 0 and its weight infinite.
    """

    output: Float[Tensor, "l s"]
    weight: Float[Tensor, "l s"]


@dataclass(frozen=True)
class BlockOfSamples:
    """n samples in one block: the leaf of each of its trees, and raw scores before its first round."""

    leaves: UInt8[Tensor, "n l"]
    before: Float[Tensor, "n w"]

    def rows(self, rows: Rows) -> "BlockOfSamples":
        """Some of the samples."""
        return BlockOfSamples(self.leaves[rows], self.before[rows])


def derivatives(
    raw: Float[Tensor, "n w"], labels: Int[Tensor, " n"]
) -> tuple[Float[Tensor, "n w"], Float[Tensor, "n w"]]:
    """First and second derivative of the loss for the raw scores, as LightGBM has them."""
    if raw.shape[1] == 1:
        p = torch.sigmoid(raw)
        return p - labels[:, None], p * (1 - p)
    p = torch.softmax(raw, 1)
    second = raw.shape[1] / (raw.shape[1] - 1) * p * (1 - p)
    return p.scatter_add(1, labels[:, None], -torch.ones_like(raw[:, :1])), second


def sum_leaves(
    block: BlockOfSamples,
    labels: Int[Tensor, " n"],
    without: Float[Tensor, "n w"],
    room: int,
    rate: float,
    penalty: float,
) -> tuple[LeafTable, Float[Tensor, "n w"], Float[Tensor, "n w"]]:
    """The leaves of a block, by the training samples that it was grown on.

    Also gives raw scores after the block, with all samples and, from `without`, those that each sample would have had, had it not
    been there: the trees are the same, their outputs are not.
    """
    after, without, width = block.before.clone(), without.clone(), block.before.shape[1]
    output = torch.zeros(block.leaves.shape[1], room, dtype=torch.float64)
    weight = torch.full_like(output, torch.inf)
    for tree in range(0, block.leaves.shape[1], width):
        first, second = derivatives(after, labels)
        for place in range(width):
            leaf = block.leaves[:, tree + place].long()
            if not leaf.any():
                continue  # a tree without a split
            g, h = first[:, place], second[:, place]
            of_leaf = leaf.numpy()
            sums = torch.from_numpy(np.bincount(of_leaf, g.numpy(), room))
            weights = torch.from_numpy(np.bincount(of_leaf, h.numpy(), room)) + penalty
            output[tree + place], weight[tree + place] = -sums / weights, weights
            after[:, place] += rate * output[tree + place, leaf]
            alone = (-(sums[leaf] - g) / (weights[leaf] - h)).clamp_(-_FARTHEST, _FARTHEST)
            without[:, place] += rate * alone
    return LeafTable(output, weight), after, without


def add_leaves(block: BlockOfSamples, table: LeafTable, rate: float) -> Float[Tensor, "n w"]:
    """Raw scores of any samples after a block."""
    width = block.before.shape[1]
    trees = torch.arange(block.leaves.shape[1])
    added = (
        table.output[trees, block.leaves.long()].view(len(block.leaves), block.leaves.shape[1] // width, width).sum(1)
    )
    return block.before + rate * added


class LeafGradients:
    """One side of the influence of boosted trees: of those that are trained on, or of those whose loss it moves."""

    def __init__(
        self,
        blocks: list[BlockOfSamples],
        tables: list[LeafTable],
        rate: float,
        side: Literal["train", "reference"],
    ) -> None:
        self.blocks, self.tables, self.rate, self._side = blocks, tables, rate, side
        self.samples = len(blocks[0].leaves)
        self.block = 4_096

    def on(self, device: torch.device) -> "LeafGradients":
        """See GradientSource."""
        blocks = [BlockOfSamples(one.leaves.to(device), one.before.to(device)) for one in self.blocks]
        tables = [LeafTable(one.output.to(device), one.weight.to(device)) for one in self.tables]
        return LeafGradients(blocks, tables, self.rate, self._side)

    def gradients(self, t: int, rows: Rows, labels: Int[Tensor, " b"]) -> list[Gradient]:
        """See GradientSource. The learning rate is not in it."""
        found, table = self.blocks[t].rows(rows), self.tables[t]
        leaves, width = found.leaves.long(), found.before.shape[1]
        trees = torch.arange(leaves.shape[1])
        outputs, roots = table.output[trees, leaves], table.weight[trees, leaves].sqrt()
        train, reference = torch.empty_like(outputs), torch.empty_like(outputs)
        raw = found.before.clone()
        for tree in range(0, leaves.shape[1], width):
            part = slice(tree, tree + width)
            first, second = derivatives(raw, labels)
            train[:, part], reference[:, part] = first + outputs[:, part] * second, first
            raw += self.rate * outputs[:, part]
        train, reference = (train / roots).float(), (reference / roots).float()
        ids, room = leaves + trees * table.output.shape[1], table.output.numel()
        if self._side == "train":
            return [Leaves(ids, train, reference, room)]
        return [Leaves(ids, reference, train, room)]
