"""What benchmarks.peers compares, each method as its users call it, and what one of them cost in this process."""

import importlib.util
import io
import re
import resource
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # it has no types of its own
import torch
from pydantic import BaseModel
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader, TensorDataset

from benchmarks import captum_peers
from benchmarks.runs import out_of_fold_probabilities, run
from benchmarks.truth_runs import boosting, flat_inputs, out_of_fold
from service.domain.dataset import DatasetInfo
from service.domain.specs import Glitch, JobOptions, JobSpec
from worker.data.canonical import open_canonical
from worker.influence.activations import ActivationRecorder, Trace
from worker.influence.gradient_sources import LastLayerGradients, row_blocks
from worker.influence.pairs import PairwiseInfluence
from worker.influence.tracin import gradient_norms
from worker.job.preparation import PreparedJob, prepare
from worker.models import head
from worker.signals.summaries import detection
from worker.training.loop import TrainingState

RATE, SEED = 0.1, 0
TOLERANCE = 1e-4
FOLDS = 5
_FAST_BATCH, _EXACT_BATCH, _DATTRI_BATCH = 1_000, 250, 500


class Disagrees(Exception):
    """A peer gave other values than we do for what should be the same quantity."""


@dataclass(frozen=True)
class Planted:
    """One dataset, errors of one kind in it, and where the job on it leaves its checkpoints and its spec."""

    info: DatasetInfo
    data: Path
    kind: str
    folder: Path
    device: str
    threads: int


class Kept(BaseModel):
    """What a job leaves for the peers: its spec as it was trained, and the learning rate of each checkpoint by its file."""

    spec: JobSpec
    files: dict[str, float]


@dataclass(frozen=True)
class Cost:
    """What a method took, and the average precision of the planted errors by its scores; None where it ran on a part.

    `seconds` and `processor_s` are of the method; `trained_s` and `trained_processor_s` of them of a training of its own.
    `memory` is the peak of the process above what its libraries take, `device_memory` that of the GPU, both in MB.
    `difference`: the largest of a peer's values from ours, in units of the largest value.
    """

    seconds: float
    processor_s: float
    memory: float
    found: float | None
    device_memory: float = 0.0
    trained_s: float = 0.0
    trained_processor_s: float = 0.0
    difference: float | None = None


@dataclass(frozen=True)
class Method:
    """`work` is timed and gives a score a sample, or the influence of each on each reference sample, [n, m].

    It is 1 / `times` of the whole. `witness` gives the same values by our code.
    """

    work: Callable[[], Tensor]
    times: float = 1.0
    witness: Callable[[], Tensor] | None = None


@dataclass(frozen=True)
class Trained:
    """A job's samples and its checkpoints. `columns` are the m samples of the training set that are its reference."""

    prepared: PreparedJob
    spec: JobSpec
    files: Mapping[str, float]
    inputs: tuple[Tensor, ...]
    labels: Tensor
    columns: Tensor
    device: torch.device

    @property
    def model(self) -> nn.Module:
        """The network, which each method sets to the checkpoints."""
        return self.prepared.model

    @cached_property
    def head_name(self) -> str:
        """The name of its last layer."""
        names: dict[nn.Module, str] = {module: name for name, module in self.model.named_modules()}
        return names[head(self.model)]

    def part(self, rows: int) -> "Trained":
        """The first samples alone, each other's reference, at the first checkpoint."""
        file, rate = next(iter(self.files.items()))
        return replace(
            self,
            files={file: rate},
            inputs=tuple(part[:rows] for part in self.inputs),
            labels=self.labels[:rows],
            columns=torch.arange(rows),
        )

    def samples(self) -> TensorDataset:
        """As the peers want them."""
        return TensorDataset(*(part.to(self.device) for part in self.inputs), self.labels.to(self.device))

    def reference(self) -> tuple[Tensor, ...]:
        """Inputs and labels of the reference samples."""
        return tuple(part[self.columns].to(self.device) for part in (*self.inputs, self.labels))


def trained(planted: Planted) -> Trained:
    """The job's samples, prepared anew: equal specs give equal samples."""
    kept = Kept.model_validate_json((planted.folder / "kept.json").read_text())
    device = torch.device(planted.device)
    prepared = prepare(kept.spec, open_canonical(planted.data), None, device)
    if prepared.columns is None:
        raise ValueError("the training set is not its own reference")
    return Trained(
        prepared, kept.spec, kept.files, prepared.inputs, prepared.planted.labels, prepared.columns.rows, device
    )


def our_self_influence(of: Trained, *, bias: bool = True) -> Tensor:
    """Self-influence from the checkpoints, last layer."""
    with _trace(of, bias=bias) as trace:
        source, total = LastLayerGradients(trace), torch.zeros(len(of.labels))
        for t, rate in enumerate(trace.rates):
            for rows in row_blocks(source):
                total[rows] += rate * gradient_norms(source.gradients(t, rows, of.labels[rows])).square()
        return total


def our_influence(of: Trained, *, bias: bool = True) -> Tensor:
    """Influence of each sample on each reference sample from the checkpoints, last layer."""
    with _trace(of, bias=bias) as trace:
        source, reference = LastLayerGradients(trace), LastLayerGradients(trace.rows(of.columns))
        pairs = PairwiseInfluence(source, of.labels, reference, of.labels[of.columns], trace.rates)
        return torch.cat([block.influence for block in pairs.blocks()])


@contextmanager
def _trace(of: Trained, *, bias: bool) -> Iterator[Trace]:
    with tempfile.TemporaryDirectory() as scratch:
        recorder = ActivationRecorder(of.model, head(of.model), of.inputs, list(of.files.values()), Path(scratch))
        for t, file in enumerate(of.files):
            of.model.load_state_dict(torch.load(file))
            recorder.read_checkpoint(t)
        yield replace(recorder.trace, bias=bias and recorder.trace.bias)


def _ours(of: Trained, *, pairs: bool) -> Method:
    return Method(partial(our_influence if pairs else our_self_influence, of))


def _captum_fast(of: Trained, *, pairs: bool) -> Method:
    peer = captum_peers.fast(of.model.eval(), head(of.model), of.samples(), of.files, _FAST_BATCH)
    return _captum(of, peer, pairs=pairs, bias=False)


def _captum_exact(of: Trained, *, pairs: bool) -> Method:
    peer = captum_peers.exact(of.model.eval(), [of.head_name], of.samples(), of.files, _EXACT_BATCH)
    return _captum(of, peer, pairs=pairs, bias=True)


def _captum(of: Trained, peer: captum_peers.Peer, *, pairs: bool, bias: bool) -> Method:
    if pairs:
        return Method(lambda: peer.influence(of.reference()).T, witness=partial(our_influence, of, bias=bias))
    return Method(peer.self_influence, witness=partial(our_self_influence, of, bias=bias))


def _dattri(of: Trained, *, pairs: bool) -> Method:
    """Exact, of the last layer. It runs on one batch at one checkpoint; gradients of the reference are computed for each batch of samples."""
    from dattri.algorithm.tracin import TracInAttributor
    from dattri.task import AttributionTask

    part = of.part(min(_DATTRI_BATCH, len(of.labels)))

    def loss(parameters: dict[str, Tensor], data: tuple[Tensor, ...]) -> Tensor:
        *inputs, label = (one[None] for one in data)
        return cross_entropy(torch.func.functional_call(part.model, parameters, tuple(inputs)), label)

    peer = TracInAttributor(
        AttributionTask(loss, part.model, list(part.files)),
        torch.tensor(list(part.files.values())),
        normalized_grad=False,
        projector_kwargs={"proj_type": "identity"},
        layer_name=[f"{of.head_name}.{name}" for name, _ in head(of.model).named_parameters()],
        device=of.device.type,
    )
    batches = DataLoader(part.samples(), _DATTRI_BATCH)
    times = len(of.files) * len(of.labels) / len(part.labels)
    if pairs:
        # Of so many batches of gradients two are computed here.
        times *= (1 + len(of.columns) / len(part.columns)) / 2
        return Method(lambda: peer.attribute(batches, batches).detach(), times, partial(our_influence, part))
    return Method(lambda: peer.self_attribute(batches).detach(), times, partial(our_self_influence, part))


def _cleanlab_trees(of: Trained, planted: Planted) -> Method:
    from benchmarks.cleanlab_peer import cleanlab_doubt

    def work() -> Tensor:
        inputs, classes = flat_inputs(of.inputs, planted.info.modality), len(of.prepared.classes)
        model = boosting(SEED, torch.get_num_threads())
        return cleanlab_doubt(out_of_fold(model, inputs, of.labels, classes, SEED), of.labels)

    return Method(work)


def _cleanlab_network(of: Trained, planted: Planted) -> Method:
    from benchmarks.cleanlab_peer import cleanlab_doubt

    dataset = open_canonical(planted.data)
    return Method(
        lambda: cleanlab_doubt(out_of_fold_probabilities(of.prepared, of.spec, dataset, FOLDS, SEED), of.labels)
    )


OURS_SELF, OURS_PAIRS = "ours, self-influence alone", "ours, influence on the reference alone"
# By name; those of one package are named after it.
METHODS: dict[str, Callable[[Trained, Planted], Method]] = {
    OURS_SELF: lambda of, _: _ours(of, pairs=False),
    "captum TracInCPFast, self-influence": lambda of, _: _captum_fast(of, pairs=False),
    "captum TracInCP, self-influence": lambda of, _: _captum_exact(of, pairs=False),
    "dattri TracIn, self-influence": lambda of, _: _dattri(of, pairs=False),
    OURS_PAIRS: lambda of, _: _ours(of, pairs=True),
    "captum TracInCPFast, influence on the reference": lambda of, _: _captum_fast(of, pairs=True),
    "captum TracInCP, influence on the reference": lambda of, _: _captum_exact(of, pairs=True),
    "dattri TracIn, influence on the reference": lambda of, _: _dattri(of, pairs=True),
    f"cleanlab, {FOLDS} folds of LightGBM": _cleanlab_trees,
    f"cleanlab, {FOLDS} folds of the same network": _cleanlab_network,
}


def package(method: str) -> str:
    """The package that a method is of, `ours` for ourselves."""
    return re.split("[ ,]", method)[0]


def is_missing(method: str) -> bool:
    """Whether the method's package is not installed."""
    return package(method) != "ours" and importlib.util.find_spec(package(method)) is None


def job(planted: Planted) -> Cost:
    """The whole job as a client gets it who asks for nothing, which leaves its checkpoints to the others."""
    torch.set_num_threads(planted.threads)
    meter = _Meter(planted.device)
    options = JobOptions(glitches=[Glitch.model_validate({"kind": planted.kind, "rate": RATE, "seed": SEED})])
    dataset = open_canonical(planted.data)
    meter.start()
    done = run(planted.info, dataset, options, device=torch.device(planted.device), kept=planted.folder)
    cost = meter.stop(done.prepared.planted.touched, torch.tensor(done.outcome.table["mislabeled"].to_pylist()))
    files = {str(planted.folder / f"checkpoint-{t}.pt"): rate for t, rate in enumerate(done.scored.train.rates)}
    for file, epoch in zip(files, done.epochs, strict=True):
        torch.save(TrainingState.load(planted.folder / f"{epoch}.pt").model, file)
    (planted.folder / "kept.json").write_text(Kept(spec=done.spec, files=files).model_dump_json())
    before = done.prepare_s + done.search_s + done.training_s
    return replace(cost, trained_s=before, trained_processor_s=done.trained_processor_s)


def measured(name: str, planted: Planted) -> Cost:
    """What a method costs on the checkpoints of the job. Raises Disagrees."""
    torch.set_num_threads(planted.threads)
    meter = _Meter(planted.device)
    of = trained(planted)
    method = METHODS[name](of, planted)
    with _quiet():
        meter.start()
        values = method.work()
    scores = values if values.dim() == 1 else -values.sum(1)
    cost = meter.stop(of.prepared.planted.touched if method.times == 1 else None, scores, method.times)
    if method.witness is None:
        return cost
    ours = method.witness()
    difference = float((values.cpu() - ours).abs().max() / ours.abs().max())
    if not difference <= TOLERANCE:
        raise Disagrees(
            f"{name} on {planted.info.name}, {planted.kind}: {difference:.1e} off ours, at most {TOLERANCE:g} expected"
        )
    return replace(cost, difference=difference)


@contextmanager
def _quiet() -> Iterator[None]:
    """No bars of dattri, and no warnings of captum about each input."""
    with redirect_stderr(io.StringIO()), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class _Meter:
    """Time and memory of this process, whose memory is counted from here on."""

    def __init__(self, device: str) -> None:
        self._cuda = device != "cpu"
        self._there = psutil.Process().memory_info().rss
        self._began, self._computed = 0.0, 0.0

    def start(self) -> None:
        """Begin the time."""
        if self._cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self._began, self._computed = time.perf_counter(), time.process_time()

    def stop(self, wrong: Tensor | None, scores: Tensor, times: float = 1.0) -> Cost:
        """What it took since, `times` as long for the whole, and how well the scores find what is wrong."""
        if self._cuda:
            torch.cuda.synchronize()
        seconds, computed = time.perf_counter() - self._began, time.process_time() - self._computed
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - self._there
        on_device = torch.cuda.max_memory_allocated() if self._cuda else 0
        found = None
        if wrong is not None:
            found = detection(scores.cpu().double().numpy(), wrong.numpy())["average_precision"]
        return Cost(seconds * times, computed * times, peak / 2**20, found, on_device / 2**20)
