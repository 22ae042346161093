"""One job in this process, without service or database: what a worker computes, nothing else."""

import tempfile
import time
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor

from service.domain.auto import from_scratch
from service.domain.dataset import DatasetInfo
from service.domain.models import AUTO, FROM_SCRATCH
from service.domain.resolve import resolve
from service.domain.specs import JobOptions, JobSpec, ModelRequest
from worker.backbones import BackboneContext
from worker.data.canonical import Canonical
from worker.job.measuring import Scored
from worker.job.preparation import PreparedJob, fit, prepare
from worker.job.ranking import RankingResult, rank
from worker.job.scoring import score
from worker.job.steady_training import train_steadily
from worker.machine.devices import CPU, device_of, to_device
from worker.models import build
from worker.training.loop import EpochMetrics, TrainingState, checkpoints, learning_rate, train
from worker.training.search import FoundRate, find_rate


@dataclass(frozen=True)
class Run:
    """A finished run, its resolved spec, its tensors, and the seconds that each part took.

    `epochs` are those of the checkpoints that are measured. `trained_processor_s`: what all threads had computed when the
    training had ended.
    """

    spec: JobSpec
    prepared: PreparedJob
    scored: Scored
    outcome: RankingResult
    found: FoundRate | None
    prepare_s: float
    search_s: float
    training_s: float
    scoring_s: float
    ranking_s: float
    trained_processor_s: float
    epochs: list[int]


def fixed(info: DatasetInfo) -> ModelRequest:
    """The model that is trained from random weights on a kind of data, with nothing chosen by size and nothing tried out."""
    return ModelRequest(name=FROM_SCRATCH.get(info.modality, AUTO[info.modality]))


def run(
    info: DatasetInfo,
    dataset: Canonical,
    options: JobOptions,
    backbones: BackboneContext | None = None,
    *,
    device: torch.device = CPU,
    kept: Path | None = None,
) -> Run:
    """Prepare, fit, score and rank, timed. Checkpoints are saved to disk as a worker saves them: `kept` keeps them as EPOCH.pt.

    Pretrained models need `backbones`.
    """
    spec = resolve(options, info)
    if spec.fallback is not None and backbones is None:
        spec = from_scratch(spec, "the benchmark has none")
    clock, computed = [time.perf_counter()], time.process_time()
    prepared = prepare(spec, dataset, None, device, backbones)
    clock.append(time.perf_counter())
    spec, found = searched(prepared, spec)
    clock.append(time.perf_counter())
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) if kept is None else kept

        def keep(state: TrainingState, _metrics: EpochMetrics) -> None:
            state.save(folder / f"{state.epoch}.pt")

        ran, spec = train_steadily(
            spec, prepared.model, lambda rated: fit(prepared, rated, None, keep), lambda _lower: None
        )
        epochs = checkpoints(spec.training, ran)
        rates = [learning_rate(spec.training, epoch) for epoch in epochs]
        clock.append(time.perf_counter())
        computed = time.process_time() - computed
        scored = score(
            prepared,
            spec,
            rates,
            lambda t: TrainingState.load(folder / f"{epochs[t]}.pt").model,
            Path(name) / "scratch",
            lambda _share: None,
        )
        clock.append(time.perf_counter())
        outcome = rank(prepared, spec, scored, dataset)
        clock.append(time.perf_counter())
    prepare_s, search_s, training_s, scoring_s, ranking_s = (after - before for before, after in pairwise(clock))
    return Run(
        spec,
        prepared,
        scored,
        outcome,
        found,
        prepare_s,
        search_s,
        training_s,
        scoring_s,
        ranking_s,
        computed,
        list(epochs),
    )


def searched(prepared: PreparedJob, spec: JobSpec) -> tuple[JobSpec, FoundRate | None]:
    """The spec with the learning rate that a worker would find, where it would look for one."""
    if not spec.training.find_learning_rate:
        return spec, None
    found = find_rate(prepared.model, prepared.inputs, prepared.planted.labels, spec.training)
    training = spec.training.model_copy(update={"learning_rate": found.rate})
    return spec.model_copy(update={"training": training}), found


def out_of_fold_probabilities(
    prepared: PreparedJob, spec: JobSpec, shape_of: Canonical, folds: int, seed: int
) -> Tensor:
    """What a cleanlab user computes: probabilities of the same model, trained the same way, on the other folds."""
    from sklearn.model_selection import StratifiedKFold

    from worker.data.encoding import Encoder

    labels, classes, device = prepared.planted.labels, len(prepared.classes), device_of(prepared.model)
    encoder = Encoder.fit(shape_of, prepared.rows, spec.model.params)
    probabilities = torch.zeros(len(labels), classes)
    splitter = StratifiedKFold(folds, shuffle=True, random_state=seed)
    for inside, outside in splitter.split(torch.zeros(len(labels)), labels):
        model = build(spec.model, encoder.shape, classes, spec.training.seed).to(device)
        rows, held = torch.from_numpy(inside), torch.from_numpy(outside)
        inputs = tuple(x[rows] for x in prepared.inputs)
        train(model, inputs, labels[rows], spec.training, resume=None, after_epoch=lambda _state, _metrics: None)
        model.eval()
        with torch.inference_mode():
            for part in torch.split(held, 2048):
                logits = model(*to_device((x[part] for x in prepared.inputs), device))
                probabilities[part] = torch.softmax(logits, 1).to(CPU)
    return probabilities
