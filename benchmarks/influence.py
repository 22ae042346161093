"""What influence costs: from checkpoints to every influence signal, against the bare products and against captum.

    python -m benchmarks.influence [--repeats 3]

10,000 training rows, 2,000 reference rows, an MLP 784-256-128-10 with 5 checkpoints, one thread. The bare products are
those that an exact method must do, `U U'` and `V V'` of all pairs for each layer and checkpoint, nothing else: no
forward pass, no multiplication of the two, no signals. Ours runs the checkpoints, both directions of the reference's
classes, every pair with two relabellings, and the signals; once more without the relabellings, as for jobs that ask for
none of cnci, pcid and cfrank. captum's slow methods run on fewer training rows; their time
is proportional to them. What counts are the ratios of medians, taken in one run.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import TensorDataset

from benchmarks import captum_peers
from worker.influence.activations import ActivationRecorder
from worker.influence.gradient_sources import (
    CheckpointedModel,
    ChosenLayerGradients,
    GradientSource,
    LastLayerGradients,
)
from worker.influence.layer_gradients import layer_names
from worker.influence.pair_computation import pair_computation, pair_sums_of
from worker.influence.pair_inputs import PairInputs
from worker.influence.pairs_counted import PairsCounted
from worker.influence.tracin import CheckpointInfluence, checkpoint_influence, class_gradient_sums, gradient_norms

RESULTS = Path(__file__).parent / "results"
SAMPLES, REFERENCES, WIDTHS, CLASSES, CHECKPOINTS, RATE = 10_000, 2_000, (784, 256, 128), 10, 5, 0.1
BATCHES = (250, 1_000, 2_500)


class Work:
    """The data, the model and its checkpoints."""

    def __init__(self, folder: Path) -> None:
        generator = torch.Generator().manual_seed(0)
        torch.manual_seed(0)
        centres = 0.12 * torch.randn(CLASSES, WIDTHS[0], generator=generator)
        self.y, self.known_y = (torch.randint(0, CLASSES, (n,), generator=generator) for n in (SAMPLES, REFERENCES))
        self.x, self.known = (
            centres[y] + torch.randn(len(y), WIDTHS[0], generator=generator) for y in (self.y, self.known_y)
        )
        first, second, third = WIDTHS
        self.head = nn.Linear(third, CLASSES)
        self.model = nn.Sequential(nn.Linear(first, second), nn.ReLU(), nn.Linear(second, third), nn.ReLU(), self.head)
        optimizer = torch.optim.SGD(self.model.parameters(), lr=RATE)
        self.states: list[dict[str, Tensor]] = []
        self.files: list[str] = []
        for epoch in range(CHECKPOINTS):
            for batch in torch.split(torch.randperm(SAMPLES, generator=generator), 64):
                optimizer.zero_grad()
                torch.autograd.backward(cross_entropy(self.model(self.x[batch]), self.y[batch]))
                optimizer.step()
            self.states.append({name: value.clone() for name, value in self.model.state_dict().items()})
            self.files.append(str(folder / f"{epoch}.pt"))
            torch.save(self.states[-1], self.files[-1])


def bare(layers: int) -> float:
    """Seconds of the products alone, of the last `layers` layers."""
    width = sum(a + b for a, b in list(pairwise([*WIDTHS, CLASSES]))[-layers:])
    left, right, out = torch.randn(SAMPLES, width), torch.randn(REFERENCES, width), torch.empty(SAMPLES, REFERENCES)
    return timed(lambda: [torch.mm(left, right.T, out=out) for _ in range(CHECKPOINTS)])


def ours(work: Work, layers: int, scratch: Path, *, relabelled: bool = True) -> float:
    """Seconds from checkpoints to signals."""
    return timed(lambda: _signals(work, layers, scratch, relabelled=relabelled))


def forward(work: Work, scratch: Path) -> float:
    """Seconds until the inputs and the logits of the last layer are there."""
    return timed(lambda: _sources(work, 1, scratch))


def _signals(work: Work, layers: int, scratch: Path, *, relabelled: bool = True) -> None:
    rates = (RATE,) * CHECKPOINTS
    train, reference = _sources(work, layers, scratch)
    # As the worker does it: with other layers than the last, each checkpoint's influence comes from the pairs.
    counted = PairsCounted()
    inputs = PairInputs(
        train, work.y, reference, work.known_y, rates, CLASSES, counted, by_checkpoint=layers > 1, relabelled=relabelled
    )
    found = pair_computation(inputs).open()(slice(0, SAMPLES))
    sums, by_checkpoint = pair_sums_of(found, work.known_y, CHECKPOINTS, counted)
    if layers == 1:
        by_checkpoint = [_checkpoint(train, reference, work, t) for t in range(CHECKPOINTS)]
    torch.stack([one.class_influence for one in by_checkpoint]).sum((0, 2))
    # The signals are sums of a few columns of these.
    sums.positive.amount.sum(1), sums.negative.amount.amax(1), sums.relabelled


def _checkpoint(train: GradientSource, reference: GradientSource, work: Work, t: int) -> CheckpointInfluence:
    return checkpoint_influence(train, t, work.y, class_gradient_sums(reference, t, work.known_y, CLASSES), RATE)


def _sources(work: Work, layers: int, scratch: Path) -> tuple[GradientSource, GradientSource]:
    rates = (RATE,) * CHECKPOINTS
    if layers == 1:
        recorders = [ActivationRecorder(work.model, work.head, (x,), rates, scratch) for x in (work.x, work.known)]
        for step, state in enumerate(work.states):
            work.model.load_state_dict(state)
            for recorder in recorders:
                recorder.read_checkpoint(step)
        return LastLayerGradients(recorders[0].trace), LastLayerGradients(recorders[1].trace)
    names = layer_names(work.model, work.head, "last-2" if layers == 2 else "all")
    network = CheckpointedModel(work.model, names, None)
    for state in work.states:
        work.model.load_state_dict(state)
        network.add_checkpoint(state)
    return ChosenLayerGradients(network, (work.x,)), ChosenLayerGradients(network, (work.known,))


def self_influence(work: Work, scratch: Path) -> float:
    """Seconds of self-influence alone, all layers."""
    train, _ = _sources(work, 3, scratch)

    def run() -> None:
        for t in range(CHECKPOINTS):
            for start in range(0, SAMPLES, train.block):
                rows = slice(start, start + train.block)
                gradient_norms(train.gradients(t, rows, work.y[rows])).square()

    return timed(run)


def captum_pairs(work: Work, batch: int) -> float:
    """Seconds of TracInCPFast, last layer, every pair."""
    peer = captum_peers.fast(
        work.model, work.head, TensorDataset(work.x, work.y), dict.fromkeys(work.files, RATE), batch
    )
    return timed(lambda: peer.influence((work.known, work.known_y)))


def captum_exact(work: Work, layers: list[str], rows: int, *, pairs: bool) -> float:
    """Seconds of TracInCP on so many training rows, as if on all."""
    dataset = TensorDataset(work.x[:rows], work.y[:rows])
    peer = captum_peers.exact(work.model, layers, dataset, dict.fromkeys(work.files, RATE), 250)
    seconds = timed(lambda: peer.influence((work.known, work.known_y)) if pairs else peer.self_influence())
    return seconds * SAMPLES / rows


def timed(work: Callable[[], Any]) -> float:
    """Seconds."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        work = Work(folder)
        bare(1)  # warm
        quick: dict[str, Callable[[], float]] = {
            **{f"bare {layers}": partial(bare, layers) for layers in (1, 2, 3)},
            **{f"ours {layers}": partial(ours, work, layers, folder / "scratch") for layers in (1, 2, 3)},
            **{
                f"fewer {layers}": partial(ours, work, layers, folder / "scratch", relabelled=False)
                for layers in (1, 2, 3)
            },
            "forward": partial(forward, work, folder / "scratch"),
            "ours self": partial(self_influence, work, folder / "scratch"),
            **{f"fast {batch}": partial(captum_pairs, work, batch) for batch in BATCHES},
        }
        rounds = [{name: run() for name, run in quick.items()} for _ in range(arguments.repeats)]
        seconds = {name: statistics.median(one[name] for one in rounds) for name in quick}
        seconds["exact 2"] = captum_exact(work, ["2", "4"], 500, pairs=True)
        seconds["exact self"] = captum_exact(work, ["0", "2", "4"], 2_000, pairs=False)
    best = min(seconds[f"fast {batch}"] for batch in BATCHES)
    rows = [
        ("last layer, all signals, over its bare products", seconds["ours 1"] / seconds["bare 1"], ""),
        (
            "the same without the forward passes",
            (seconds["ours 1"] - seconds["forward"]) / seconds["bare 1"],
            "<= 2",
        ),
        ("two layers, over their bare products", seconds["ours 2"] / seconds["bare 2"], "<= 1.3"),
        (
            "the same without what a forward pass takes",
            (seconds["ours 2"] - seconds["forward"]) / seconds["bare 2"],
            "",
        ),
        ("three layers, over their bare products", seconds["ours 3"] / seconds["bare 3"], "<= 1.2"),
        *(
            (f"{which} without cnci, pcid and cfrank", seconds[f"fewer {layers}"] / seconds[f"bare {layers}"], aim)
            for layers, which, aim in (
                (1, "last layer", ""),
                (2, "two layers", "<= 1.3"),
                (3, "three layers", "<= 1.2"),
            )
        ),
        (
            "two layers without these and without a forward pass",
            (seconds["fewer 2"] - seconds["forward"]) / seconds["bare 2"],
            "",
        ),
        (
            f"captum TracInCPFast at its best batch of {BATCHES}, over ours, last layer",
            best / seconds["ours 1"],
            ">= 3",
        ),
        ("captum TracInCP, over ours, two layers", seconds["exact 2"] / seconds["ours 2"], ">= 60"),
        ("captum self-influence, over ours, all layers", seconds["exact self"] / seconds["ours self"], ">= 50"),
    ]
    table = Table("what", "ratio", "aim", title=f"one thread, medians of {arguments.repeats}")
    lines = [f"# {table.title}", "", "| what | ratio | aim |", "|---|---|---|"]
    for what, ratio, aim in rows:
        table.add_row(what, f"{ratio:.2f}", aim)
        lines.append(f"| {what} | {ratio:.2f} | {aim} |")
    lines += ["", "Seconds: " + ", ".join(f"{name} {value:.2f}" for name, value in seconds.items()) + "."]
    Console(width=140).print(table)
    print(lines[-1])
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "influence.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
