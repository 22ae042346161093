"""An epoch of the default networks of tables and embeddings with gradients written by hand, over one with autograd, in one run.

    python -m benchmarks.training_speed [--repeats 5]

Both ways train alternately on one thread; the ratio of medians is what counts, machines are shared and noisy. The bare
products are the matrix products of the linear layers alone, over and over on the same numbers: no step of the same arithmetic
can be faster.
"""

import argparse
import statistics
import time
from pathlib import Path
from unittest.mock import patch

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn

from benchmarks.data import load
from service.domain.models import MODELS
from service.domain.resolve import resolve
from service.domain.specs import JobOptions, ModelRequest, Training
from worker.data.encoding import Inputs
from worker.data.shape import InputShape
from worker.job.preparation import prepare
from worker.models import build
from worker.training.direct_network import DirectNetwork
from worker.training.loop import train

RESULTS = Path(__file__).parent / "results"
_EMBEDDINGS, _WIDTH, _CLASSES = 50_000, 384, 10
_COLUMNS = ("samples", "autograd ms", "by hand ms", "bare products ms", "autograd over by hand", "by hand over bare")

Case = tuple[nn.Module, Inputs, Tensor, Training]


def table(name: str) -> Case:
    """What a job with every default trains on a development table, its learning rate aside."""
    info, dataset = load(name)
    spec = resolve(JobOptions(), info)
    prepared = prepare(spec, dataset, None)
    return prepared.model, prepared.inputs, prepared.planted.labels, spec.training


def embeddings(name: str, training: Training) -> Case:
    """A probe on embeddings that are drawn; some of their numbers decide on the class."""
    generator = torch.Generator().manual_seed(0)
    samples = torch.randn(_EMBEDDINGS, _WIDTH, generator=generator)
    labels = (samples[:, :_CLASSES] @ torch.randn(_CLASSES, _CLASSES, generator=generator)).argmax(1)
    request = ModelRequest(name=name, params=MODELS[name].params().model_dump())
    return build(request, InputShape("embedding", embedding=_WIDTH), _CLASSES, 0), (samples,), labels, training


def epoch(case: Case) -> float:
    """Seconds of the second epoch: the first also allocates."""
    model, inputs, labels, training = case
    ends: list[float] = []
    brief = training.model_copy(update={"epochs": 2, "learning_rate": training.learning_rate / 4})
    train(model, inputs, labels, brief, resume=None, after_epoch=lambda *_: ends.append(time.perf_counter()))
    return ends[1] - ends[0]


@torch.inference_mode()
def products(case: Case) -> float:
    """Seconds of an epoch's matrix products of the linear layers."""
    model, _, labels, training = case
    network, size = DirectNetwork.of(model), training.batch_size
    if network is None:
        raise ValueError("a network for autograd")
    learns_inputs = network.embedding is not None
    began = time.perf_counter()
    for place, layer in enumerate(network.layers):
        known, error = torch.ones(size, layer.in_features), torch.ones(size, layer.out_features)
        answers, gradient = torch.empty_like(error), torch.empty_like(layer.weight)
        for _ in range(len(labels) // size):
            torch.mm(known, layer.weight.t(), out=answers)
            torch.mm(error.t(), known, out=gradient)
            if place or learns_inputs:
                torch.mm(error, layer.weight, out=known)
    return time.perf_counter() - began


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    repeats = parser.parse_args().repeats
    torch.set_num_threads(1)
    tables = {f"{name}, auto": table(name) for name in ("adult", "satimage")}
    training = tables["adult, auto"][-1]
    probes = {f"embeddings, {name}": embeddings(name, training) for name in ("mlp_probe", "linear_probe")}
    shown = Table("training", *_COLUMNS, title=f"one epoch on one thread, medians of {repeats}")
    lines = [f"# {shown.title}", "", "| training | " + " | ".join(_COLUMNS) + " |", "|---" * (1 + len(_COLUMNS)) + "|"]
    for name, case in (tables | probes).items():
        slow, fast, bare = [], [], []
        for _ in range(repeats):
            with patch.object(DirectNetwork, "of", return_value=None):
                slow.append(epoch(case))
            fast.append(epoch(case))
            bare.append(products(case))
        times = [statistics.median(values) for values in (slow, fast, bare)]
        ratios = (f"{times[0] / times[1]:.2f}", f"{times[1] / times[2]:.2f}")
        row = [name, f"{len(case[2]):,}", *(f"{1_000 * seconds:.0f}" for seconds in times), *ratios]
        shown.add_row(*row)
        lines.append("| " + " | ".join(row) + " |")
    Console(width=140).print(shown)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "training_speed.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
