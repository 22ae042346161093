"""Whether the kernels for GPUs work here: they are compiled where they run, and checked there against torch before they are trusted."""

from functools import cache
from importlib.util import find_spec

import structlog
import torch

from worker.influence.activations import Trace
from worker.influence.fused_pairs import FusedPairRows
from worker.influence.gradient_sources import LastLayerGradients
from worker.influence.pair_inputs import PairInputs
from worker.influence.pair_sums import PairRows
from worker.influence.pairs_counted import PairsCounted
from worker.machine.devices import Precision

log = structlog.get_logger()

_ROWS, _COLUMNS, _WIDTH, _CLASSES, _CHECKPOINTS = 300, 200, 40, 3, 2
_TOLERANCE: dict[Precision, float] = {"exact": 1e-4, "fast": 1e-1}  # of the largest number


@cache
def kernels_work(device: torch.device, precision: Precision) -> bool:
    """Whether kernels can be compiled for a GPU and give what torch gives; the log says why not."""
    if device.type != "cuda":
        return False
    if find_spec("triton") is None:
        log.warning("Triton is not installed, so influence on the GPU is computed by torch, more slowly")
        return False
    try:
        with device:
            wrong = _differences(device, precision)
    except Exception as error:  # noqa: BLE001 - compilers fail in many ways, and torch does the same
        log.warning(
            "kernels do not run here, so influence on the GPU is computed by torch, more slowly", error=str(error)
        )
        return False
    if wrong:
        log.error("kernels compute wrongly here, so influence on the GPU is computed by torch", wrong=wrong)
    return not wrong


def _differences(device: torch.device, precision: Precision) -> dict[str, float]:
    """What the kernels give of a small example that torch does not: by name, the share of the largest number."""
    inputs = _example(precision).on(device)
    fused, every = FusedPairRows.of(inputs), slice(0, _ROWS)
    if fused is None:
        raise RuntimeError("the example does not suit the kernels")
    found, wanted = fused(every), PairRows(inputs)(every)
    differences = {
        name: float((found[name] - one).abs().max() / one.abs().max().clamp(min=1e-30))
        for name, one in wanted.items()
        if one.is_floating_point() and not name.endswith("count")
    }
    return {name: one for name, one in differences.items() if not one <= _TOLERANCE[precision]}


def _example(precision: Precision) -> PairInputs:
    draw = torch.Generator().manual_seed(0)

    def samples(count: int) -> tuple[LastLayerGradients, torch.Tensor]:
        activations = torch.randn(_CHECKPOINTS, count, _WIDTH, generator=draw, device="cpu")
        logits = torch.randn(_CHECKPOINTS, count, _CLASSES, generator=draw, device="cpu")
        labels = torch.randint(_CLASSES, (count,), generator=draw, device="cpu")
        return LastLayerGradients(Trace(activations, logits, (0.1,) * _CHECKPOINTS)), labels

    train, reference = samples(_ROWS), samples(_COLUMNS)
    return PairInputs(
        *train,
        *reference,
        (0.1,) * _CHECKPOINTS,
        _CLASSES,
        PairsCounted(),
        by_checkpoint=False,
        relabelled=False,
        precision=precision,
    )
