"""Every check of the samples of a job."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.issue import ISSUE_TYPES
from service.store.seal import open_parquet
from worker.data.canonical import Canonical
from worker.data.glitches import PlantedData
from worker.issues.data_issue import DataIssue, NotChecked, summary_of
from worker.issues.images import image_faults, measure_images
from worker.issues.inputs import (
    HeldOut,
    Rows,
    TrainingSamples,
    held_out,
    input_hashes,
    inputs_are_planted,
    planted_hashes,
)
from worker.issues.leakage import leakage
from worker.issues.near import different_inputs, near_duplicates
from worker.issues.near_images import near_image_sets
from worker.issues.near_texts import near_sets
from worker.issues.order import order
from worker.issues.repeats import contradicting_duplicates, exact_duplicates, same_sets
from worker.issues.slices import slices
from worker.issues.texts import text_faults

Answers = list[DataIssue | NotChecked]


def find_issues(
    dataset: Canonical,
    rows: Int[Tensor, " n"],
    planted: PlantedData,
    *,
    reference_rows: Int[Tensor, " m"],
    reference: Canonical | None = None,
    features: Float[Tensor, "n w"] | None = None,
    guess: Int[Tensor, " n"] | None = None,
    seed: int,
    threads: int = 1,
) -> dict[str, Any]:
    """What is wrong beside the labels of the training samples `rows`, as it is kept of a job.

    `planted` are inputs and labels as they were ranked, `features` what the model sees of the samples at its first checkpoint, and None where
    that is not known. `guess` is the class of each by a guess that has not seen its label. `reference_rows` are rows of `reference`, or of the dataset where that is None. `seed` decides by which rows neighbours are searched.
    `threads` is the number of threads that decode images. It does not change the answer.
    """
    trained = _training_samples(dataset, rows, planted)
    answers = _of_inputs(trained, held_out(dataset, rows, reference_rows, reference))
    answers += _of_contents(trained, planted, seed, threads)
    answers.append(_of_columns(trained, planted, guess))
    answers.append(order(planted.labels, len(dataset.header.classes), features, by_name=_has_paths(dataset)))
    places = {name: place for place, name in enumerate(ISSUE_TYPES)}
    return summary_of(sorted(answers, key=lambda one: places[one.type]))


def _training_samples(dataset: Canonical, rows: Int[Tensor, " n"], planted: PlantedData) -> TrainingSamples | None:
    """The samples with their inputs; None where the file has no inputs."""
    columns = _compared(dataset)
    if not columns:
        return None
    hashes = planted_hashes(input_hashes(dataset, columns)[rows.numpy()], planted)
    return TrainingSamples(dataset, rows, planted.labels.numpy(), hashes)


def _of_inputs(samples: TrainingSamples | None, held: Sequence[HeldOut]) -> Answers:
    if samples is None:
        reason = "The upload has no inputs of the samples: what a model makes of them does not tell whether they are the same."
        return [NotChecked(name, reason) for name in ("contradicting_duplicates", "exact_duplicates", "leakage")]
    sets = same_sets(samples.hashes)
    compared = [(one, input_hashes(one.source, _compared(one.source))[one.rows.numpy()]) for one in held]
    return [contradicting_duplicates(samples, sets), exact_duplicates(samples, sets), leakage(samples, compared)]


def _of_contents(samples: TrainingSamples | None, planted: PlantedData, seed: int, threads: int) -> Answers:
    """What texts and images alone can be examined for. What was planted has numbers of words or pixels, and is in no file."""
    modality = None if samples is None else samples.dataset.header.modality
    no_text, no_image = (
        NotChecked("text", "The samples are no texts."),
        NotChecked("images", "The samples are no images."),
    )
    if samples is None or modality not in ("text", "image"):
        near = "Rows of tables, vectors and recorded values lie near one another without being the same thing."
        return [NotChecked("near_duplicates", near), no_text, no_image]
    places = np.flatnonzero(~inputs_are_planted(planted))
    if modality == "text":
        return [*_of_texts(samples, places), no_image]
    return [*_of_images(samples, places, seed, threads), no_text]


def _of_texts(samples: TrainingSamples, places: Rows) -> Answers:
    rows, different = samples.rows.numpy(), different_inputs(samples, places)

    def read(some: Rows) -> Iterator[str]:
        return samples.dataset.texts(torch.from_numpy(rows[different[some]]))

    sets = [different[one] for one in near_sets(len(different), read)]
    texts = samples.dataset.texts(torch.from_numpy(rows[places]))
    return [near_duplicates(samples, sets), text_faults(samples, texts, places)]


def _of_images(samples: TrainingSamples, places: Rows, seed: int, threads: int) -> Answers:
    measures = measure_images(samples.dataset, samples.rows.numpy()[places], threads)
    seen = np.isin(places, different_inputs(samples, places)) & ~measures.blank
    sets = [places[seen][one] for one in near_image_sets(measures.thumbnails[seen], seed)]
    return [near_duplicates(samples, sets), image_faults(samples, measures, places)]


def _of_columns(
    samples: TrainingSamples | None, planted: PlantedData, guess: Int[Tensor, " n"] | None
) -> DataIssue | NotChecked:
    if samples is None or guess is None or samples.dataset.header.modality != "tabular":
        return NotChecked("slices", "Slices are those of the columns of a table.")
    places = np.flatnonzero(~inputs_are_planted(planted))
    return slices(samples, (guess.numpy() != samples.labels)[places], places)


def _compared(dataset: Canonical) -> list[str]:
    """The columns by which two samples are the same; none where the file has no inputs."""
    columns = [one["column"] for one in dataset.header.features]
    match dataset.header.modality:
        case "trace":
            return []
        case "predictions":
            return [column for column in columns if column == "features"]
        case _:
            return columns


def _has_paths(dataset: Canonical) -> bool:
    with open_parquet(dataset.path) as file:
        return "path" in file.schema_arrow.names
