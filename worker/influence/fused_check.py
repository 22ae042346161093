"""Whether the kernels for GPUs work here: they are compiled where they run, and checked there against torch before they are trusted."""

from importlib.util import find_spec

import structlog
import torch

from worker.influence.activations import Trace
from worker.influence.fused_pairs import FusedPairRows
from worker.influence.gradient_sources import LastLayerGradients
from worker.influence.pair_inputs import PairInputs
from worker.influence.pair_sums import PairRows
from worker.influence.pairs_counted import PairsCounted
from worker.machine.devices import CPU, Precision, is_out_of_memory

log = structlog.get_logger()

# Of these sizes the kernels are compiled in the form that most jobs use.
_ROWS, _COLUMNS, _WIDTH, _CLASSES, _CHECKPOINTS = 300, 1_500, 128, 3, 2
_TOLERANCE: dict[Precision, float] = {"exact": 1e-4, "fast": 1e-1}  # of the largest number
_known: dict[tuple[torch.device, Precision], bool] = {}


def kernels_work(device: torch.device, precision: Precision) -> bool:
    """Whether kernels can be compiled for a GPU and give what torch gives, found out once a process; the log says why not.

    Raises RuntimeError where the GPU has no memory left, which tells nothing of them.
    """
    if device.type != "cuda":
        return False
    if (device, precision) not in _known:
        _known[device, precision] = _checked(device, precision)
    return _known[device, precision]


def _checked(device: torch.device, precision: Precision) -> bool:
    if find_spec("triton") is None:
        log.warning("Triton is not installed, so influence on the GPU is computed by torch, more slowly")
        return False
    try:
        with device:
            wrong = {**_differences(device, precision, shared=False), **_differences(device, precision, shared=True)}
    except Exception as error:
        if isinstance(error, RuntimeError) and is_out_of_memory(error):
            raise
        # Compilers fail in many ways, and torch does the same.
        log.warning(
            "kernels do not run here, so influence on the GPU is computed by torch, more slowly", error=str(error)
        )
        return False
    if wrong:
        log.error("kernels compute wrongly here, so influence on the GPU is computed by torch", wrong=wrong)
    return not wrong


def _differences(device: torch.device, precision: Precision, *, shared: bool) -> dict[str, float]:
    """What the kernels give of a small example that torch does not: by name, the share of the largest number."""
    inputs = _example(precision, shared=shared).on(device)
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


def _example(precision: Precision, *, shared: bool) -> PairInputs:
    draw = torch.Generator().manual_seed(0)

    def samples(count: int) -> tuple[LastLayerGradients, torch.Tensor]:
        stored = torch.randn(1 if shared else _CHECKPOINTS, count, _WIDTH, generator=draw, device=CPU)
        activations = stored.expand(_CHECKPOINTS, -1, -1)
        logits = torch.randn(_CHECKPOINTS, count, _CLASSES, generator=draw, device=CPU)
        labels = torch.randint(_CLASSES, (count,), generator=draw, device=CPU)
        return LastLayerGradients(Trace(activations, logits, rates)), labels

    rates = (0.1,) * _CHECKPOINTS
    train, reference = samples(_ROWS), samples(_COLUMNS)
    counted = PairsCounted(own_column=torch.arange(_ROWS, device=CPU))
    return PairInputs(
        *train, *reference, rates, _CLASSES, counted, by_checkpoint=False, relabelled=True, precision=precision
    )
