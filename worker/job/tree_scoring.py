"""Scoring of boosted trees: leave-one-out logits after each block, a forest's out-of-bag probabilities, influence by leaves."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.specs import JobSpec
from worker.influence.activations import Trace
from worker.influence.leaf_gradients import BlockOfSamples, LeafGradients, LeafTable, add_leaves, sum_leaves
from worker.influence.row_computations import Begin, OnShare
from worker.job.measuring import Scored, measure
from worker.job.preparation import PreparedJob
from worker.models.boosted_trees import BoostedTrees, logits_of
from worker.signals.reference import Chosen
from worker.training.forest import out_of_bag

_AT_ONCE = 16_384


class _Samples:
    """Samples that trees are read for, block by block. The features, which no training changes, are the activations."""

    def __init__(self, features: Float[Tensor, "n d"], logits: Float[Tensor, "t n c"], rate: float) -> None:
        self.trace = Trace(features.expand(len(logits), -1, -1), logits, (rate,) * len(logits))

    def read_checkpoint(self, _t: int, *, inner: bool = False) -> Float[Tensor, "n e"] | None:
        """The trace is filled already; the features also enter the layer before the last."""
        return self.trace.activations[0] if inner else None


def score_trees(
    prepared: PreparedJob,
    model: BoostedTrees,
    spec: JobSpec,
    on_progress: OnShare,
    begin: Begin,
) -> Scored:
    """Measure grown trees. `begin` begins what others may share; `on_progress` gets the share done, from 0 to 1."""
    labels, rate = prepared.planted.labels, spec.training.learning_rate
    tables: list[LeafTable] = []
    blocks, known_blocks = [], []
    values = model.matrix(prepared.inputs[0], prepared.inputs[1])
    known_values = model.matrix(prepared.reference_inputs[0], prepared.reference_inputs[1])
    known_raw = torch.from_numpy(model.first_raw(len(known_values)))
    logits, known_logits = [], []
    for grown, (block, table, without) in zip(model.blocks(), left_out(model, values, labels, rate), strict=True):
        known = BlockOfSamples(leaves_of(grown, known_values), known_raw)
        known_raw = add_leaves(known, table, rate)
        tables.append(table)
        blocks.append(block)
        known_blocks.append(known)
        logits.append(logits_of(without).float())
        known_logits.append(logits_of(known_raw).float())
    on_progress(0.2)
    with torch.inference_mode():
        train = _Samples(model.features(*prepared.inputs), torch.stack(logits), rate)
        reference = None
        if prepared.columns is None:
            reference = _Samples(model.features(*prepared.reference_inputs), torch.stack(known_logits), rate)
    forest = out_of_bag(train.trace.activations[0], labels, len(prepared.classes), spec.training.seed)
    on_progress(0.4)
    sides = LeafGradients(blocks, tables, rate, "train")
    if prepared.columns is None:
        whole = columns = LeafGradients(known_blocks, tables, rate, "reference")
    else:
        whole = LeafGradients(blocks, tables, rate, "reference")
        columns = LeafGradients([one.rows(prepared.columns.rows) for one in blocks], tables, rate, "reference")
    chosen = Chosen(sides, whole, columns)
    scored = measure(
        prepared,
        spec,
        train,
        reference,
        lambda share: on_progress(0.4 + 0.6 * share),
        begin=begin,
        chosen=chosen,
        out_of_bag=forest,
    )
    return replace(scored, by_leaves=chosen)


def left_out(
    model: BoostedTrees, values: npt.NDArray[np.float32], labels: Int[Tensor, " n"], rate: float
) -> Iterator[tuple[BlockOfSamples, LeafTable, Float[Tensor, "n w"]]]:
    """The training samples in each block, its leaves, and the raw scores after it that each would have without itself."""
    raw = without = torch.from_numpy(model.first_raw(len(values)))
    for grown in model.blocks():
        block = BlockOfSamples(leaves_of(grown, values), raw)
        table, raw, without = sum_leaves(block, labels, without, model.params.leaves, rate, model.params.penalty)
        yield block, table, without


def leaves_of(block: Any, values: npt.NDArray[np.float32]) -> Tensor:
    """The leaf of each sample in each tree of a block, [n, l]; none of a block without trees."""
    found = [
        block.predict(part, pred_leaf=True, num_threads=torch.get_num_threads()).reshape(len(part), -1)
        for part in np.array_split(values, max(1, -(-len(values) // _AT_ONCE)))
        if len(part)
    ]
    if not found:
        return torch.zeros(0, block.num_trees(), dtype=torch.uint8)
    return torch.from_numpy(np.concatenate(found).astype(np.uint8))
