"""Sources of gradients as arrays and numbers, from which another process opens the same source."""

from collections.abc import Mapping
from typing import Literal

from torch import Tensor

from worker.influence.activations import Trace
from worker.influence.gradient_sources import GradientSource, LastLayerGradients
from worker.influence.leaf_gradients import BlockOfSamples, LeafGradients, LeafTable
from worker.influence.row_computations import Arrays, Numbers

Side = Literal["train", "reference"]
# The axis that training rows are on, in arrays of which a row needs its own part alone.
TRAINING_ROWS = {"train.activations": 1, "train.logits": 1, "labels": 0}
SIDES: tuple[Side, Side] = ("train", "reference")


def described(source: GradientSource, side: Side) -> tuple[Arrays, Numbers] | None:
    """Arrays and numbers of a source; None for layers whose gradients need the network itself."""
    match source:
        case LastLayerGradients():
            trace = source.trace
            activations = trace.activations[:1] if trace.shared else trace.activations
            arrays = {f"{side}.activations": activations, f"{side}.logits": trace.logits}
            return arrays, {"rates": list(trace.rates), "bias": trace.bias}
        case LeafGradients():
            arrays = {}
            for t, (block, table) in enumerate(zip(source.blocks, source.tables, strict=True)):
                for name, array in {**vars(block), **vars(table)}.items():
                    arrays[f"{side}.{t}.{name}"] = array
            return arrays, {"trees": len(source.blocks), "rate": source.rate}
        case _:
            return None


def open_source(arrays: Mapping[str, Tensor], numbers: Numbers, side: Side) -> GradientSource:
    """The source of a side."""
    if "trees" not in numbers:
        rates, activations = tuple(numbers["rates"]), arrays[f"{side}.activations"]
        logits = arrays[f"{side}.logits"]
        return LastLayerGradients(Trace(activations.expand(len(rates), -1, -1), logits, rates, bool(numbers["bias"])))
    blocks, tables = [], []
    for t in range(numbers["trees"]):
        blocks.append(BlockOfSamples(arrays[f"{side}.{t}.leaves"], arrays[f"{side}.{t}.before"]))
        tables.append(LeafTable(arrays[f"{side}.{t}.output"], arrays[f"{side}.{t}.weight"]))
    return LeafGradients(blocks, tables, numbers["rate"], side)
