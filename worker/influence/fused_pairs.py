"""What is kept of every pair, by kernels for GPUs that write no pair: the same as `worker.influence.pair_sums` gives.

Sums by class come with the pairs themselves. The strongest pairs are looked for in the few chunks of columns with the strongest influence,
which is computed there once more, in full single precision.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.class_segments import ClassSegments
from worker.influence.fused_columns import FusedColumns, Tiles
from worker.influence.gradient_sources import GradientSource, LastLayerGradients, row_blocks
from worker.influence.gradients import scaled
from worker.influence.packed_gradients import PackedGradients, Packing
from worker.influence.pair_inputs import PairInputs
from worker.influence.pair_sums import STRONGEST
from worker.influence.pairs_counted import PairsCounted
from worker.influence.row_computations import Arrays, ranges

_FEWEST_ROWS, _MOST_ROWS = 1_024, 65_536  # of a block
_EXTREMES = 2**26  # numbers of a block of which the strongest are kept


class FusedPairRows:
    """What is kept of the pairs of some training rows: a function of a range of rows.

    All arrays are on one device, which is torch's default where this is opened and called.
    """

    def __init__(self, inputs: PairInputs, packing: Packing, tiles: Tiles) -> None:
        labels, counted = inputs.reference_labels, inputs.counted
        self._inputs, self._packing = inputs, packing
        order = labels.argsort(stable=True)
        segments = ClassSegments.of(labels[order], inputs.classes)
        self._sizes, self._weights = segments.sizes, counted.in_order(order).by_class(segments)
        self._share = counted.own_class_share(inputs.labels, labels, self._sizes, self._weights)
        keys = _keys_of_columns(counted, labels)
        # A trace gives any number of rows at once, and a GPU is idle with few.
        most = max(_FEWEST_ROWS, min(_MOST_ROWS, _EXTREMES // tiles.chunks))
        self._block = most if isinstance(inputs.train, LastLayerGradients) else min(most, inputs.train.block)
        self._columns = FusedColumns(_packed_reference(inputs, packing), packing, tiles, keys, inputs.precision)

    @classmethod
    def of(cls, inputs: PairInputs) -> "FusedPairRows | None":
        """None where a layer's gradients are no outer products, or where more than a third of the work would be zeros."""
        few = slice(0, 1)
        gradients = [inputs.reference.gradients(t, few, inputs.reference_labels[few]) for t in range(len(inputs.rates))]
        packing = Packing.of(gradients, shared=_is_shared(inputs.train) and _is_shared(inputs.reference))
        tiles = Tiles.of(inputs.reference_labels, inputs.classes)
        return None if packing is None or tiles is None else cls(inputs, packing, tiles)

    def __call__(self, rows: slice) -> Arrays:
        """Arrays of PairSums for some rows."""
        parts = [self._of_block(part) for part in ranges(rows, self._block)]
        return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}

    def _of_block(self, rows: slice) -> Arrays:
        inputs = self._inputs
        labels = inputs.labels[rows]
        keys, scale = self._keys(rows), self._scale(rows, labels)
        packed = self._packing.pack([inputs.train.gradients(t, rows, labels) for t in range(len(inputs.rates))])
        sums = self._columns.class_sums(packed, keys)
        found = {
            "positive.amount": sums.positive * scale,
            "negative.amount": sums.negative * scale,
            "positive.count": sums.positive_count * scale,
            "negative.count": sums.negative_count * scale,
        }
        strongest = self._columns.strongest(packed, keys, sums, STRONGEST)
        for name, (values, columns) in zip(("positive", "negative"), strongest, strict=True):
            found |= {f"{name}.values": values, f"{name}.strongest": columns}
        if inputs.relabelled:
            found |= self._after_relabelling(rows, labels, packed, keys, scale, found)
        return found

    def _after_relabelling(
        self,
        rows: slice,
        labels: Int[Tensor, " b"],
        packed: PackedGradients,
        keys: Int[Tensor, " b"] | None,
        scale: Float[Tensor, "b k"],
        found: Arrays,
    ) -> Arrays:
        """Arrays of Relabelled. The errors of `packed` are overwritten."""
        positive, last = found["positive.amount"], len(self._inputs.rates) - 1
        sums = []
        for others in (found["negative.amount"].argmax(1), positive.topk(2, dim=1).indices[:, 1]):
            # Labels change errors alone.
            self._packing.put_errors(packed, last, self._inputs.train.gradients(last, rows, others))
            sums.append(self._columns.class_sums(packed, keys, last=True))
        harm, help_ = sums[0].negative * scale, sums[1].positive * scale
        return {
            "repaired": harm.gather(1, labels[:, None]).squeeze(1).neg(),
            "moved": (positive - help_).abs().amax(1),
        }

    def _keys(self, rows: slice) -> Int[Tensor, " b"] | None:
        counted = self._inputs.counted
        if counted.related is not None:
            return counted.related.rows[rows].contiguous()
        return None if counted.own_column is None else counted.own_column[rows].contiguous()

    def _scale(self, rows: slice, labels: Int[Tensor, " b"]) -> Float[Tensor, "b k"]:
        inputs, related = self._inputs, self._inputs.counted.related
        if related is None:
            ones = torch.ones(len(labels), inputs.classes)
            return ones.scatter_(1, labels[:, None], self._share[rows, None]) * self._weights
        inside = related.columns_inside(rows, inputs.reference_labels, inputs.classes)
        return related.scale(rows, inside, self._weights, self._sizes) * self._weights


def _is_shared(source: GradientSource) -> bool:
    return isinstance(source, LastLayerGradients) and source.trace.shared


def _packed_reference(inputs: PairInputs, packing: Packing) -> PackedGradients:
    """All reference rows, with the rates of the checkpoints in their errors."""
    parts = []
    for rows in row_blocks(inputs.reference):
        labels = inputs.reference_labels[rows]
        gradients = [inputs.reference.gradients(t, rows, labels) for t in range(len(inputs.rates))]
        factors = [torch.full((len(labels),), rate) for rate in inputs.rates]
        weighted = [[scaled(one, factor) for one in layers] for layers, factor in zip(gradients, factors, strict=True)]
        parts.append(packing.pack(weighted))
    return PackedGradients(torch.cat([one.inputs for one in parts]), torch.cat([one.errors for one in parts]))


def _keys_of_columns(counted: PairsCounted, labels: Int[Tensor, " m"]) -> Int[Tensor, " m"] | None:
    if counted.related is not None:
        return counted.related.columns
    return None if counted.own_column is None else torch.arange(len(labels))
