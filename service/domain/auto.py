"""The model that `auto` stands for, by modality, kind and size of the dataset."""

from collections.abc import Mapping
from typing import Any

from service.domain.dataset import DatasetInfo, Modality
from service.domain.models import AUTO, FROM_SCRATCH, MODELS
from service.domain.specs import JobOptions, JobSpec, ModelRequest

# Of training rows. With 300, embedded numbers found fewer planted mislabels than plain ones on most of nine tables, with
# 1,000 on half of them, with 5,000 and more fewer on hardly any.
_EMBEDS = 2_000
# Classes. Trees beside the network found more planted mislabels in 39 and 44 of 45 jobs. Each round has a tree a class: with 26
# classes they took as long as the network.
_WITH_TREES = 30
# Pixels. On greyscale digits of 28 a small network from scratch found more planted mislabels than a frozen one, on
# greyscale photographs of 32 far fewer (docs/measured.md).
_SMALL_GREYSCALE = 28
# Pixels. Images up to the first are enlarged to the second: as many planted mislabels were found as at the 224 pixels of
# the default network, in half the time, and fewer at 128.
_ENLARGED, _ENLARGED_TO = 64, 160

# Of these, how fast training may go is tried out in each job; for others nobody has measured that it pays.
SEARCHED: tuple[Modality, ...] = ("tabular",)


def default_model(dataset: DatasetInfo, request: JobOptions) -> tuple[str, dict[str, Any]]:
    """Name of the model for a dataset, and the parameters that differ from its defaults.

    Where `request` has parameters or an augmentation that only another model can have, it is that model.
    """
    modality, given = dataset.modality, request.model.params
    if modality == "tabular":
        network = network_for_tables(dataset.splits.get("train", dataset.rows), len(dataset.classes))
        return network.name, network.params
    if modality not in FROM_SCRATCH:
        return AUTO[modality], {}
    pretrained, scratch = AUTO[modality], FROM_SCRATCH[modality]
    augmented = request.training.augmentation != "none" and "trainable_blocks" not in given
    first, other = (scratch, pretrained) if augmented or is_small_greyscale(dataset) else (pretrained, scratch)
    name = other if not _takes(first, given) and _takes(other, given) else first
    return name, _enlarged(dataset) if name == pretrained else {}


def network_for_tables(rows: int, classes: int) -> ModelRequest:
    """The network for a table of so many training rows and classes, with trees beside it where these are few."""
    embedded = {"numeric_embeddings": "piecewise_linear"} if rows >= _EMBEDS else {}
    return ModelRequest(name="mlp", params={**embedded, "trees": True} if classes <= _WITH_TREES else embedded)


def fallback_model(name: str, given: Mapping[str, Any]) -> str | None:
    """What `auto` stands for where no pretrained network is at hand for the model; None where only that one has the parameters."""
    model = MODELS[name]
    scratch = next((FROM_SCRATCH[kind] for kind in FROM_SCRATCH if kind == model.modality), None)
    return scratch if model.pretrained and scratch is not None and _takes(scratch, given) else None


def is_small_greyscale(dataset: DatasetInfo) -> bool:
    """Whether the images have no colours and are at most 28 pixels wide and high."""
    images = dataset.images
    return images is not None and images.greyscale and images.largest_side <= _SMALL_GREYSCALE


def with_network(spec: JobSpec, backbone: str) -> JobSpec:
    """The spec of a job whose worker has this pretrained network at hand."""
    if spec.fallback is None:
        raise ValueError("nothing is left to decide")
    params = {**spec.model.params, "backbone": backbone}
    if backbone != spec.model.params["backbone"] and "image_size" in params:
        # What was chosen suits the default network; what the client asked for is also in the fallback.
        params["image_size"] = spec.fallback.model.params.get("image_size")
    model = spec.model.model_copy(update={"params": params})
    return spec.model_copy(update={"model": model, "fallback": spec.fallback.model_copy(update={"used": False})})


def from_scratch(spec: JobSpec, reason: str) -> JobSpec:
    """The spec of a job whose worker has no pretrained network at hand, for this reason."""
    if spec.fallback is None:
        raise ValueError("there is no fallback")
    fallback = spec.fallback.model_copy(update={"used": True, "reason": reason})
    return spec.model_copy(update={"model": fallback.model, "training": fallback.training, "fallback": fallback})


def with_images(spec: JobSpec, dataset: DatasetInfo) -> JobSpec:
    """The spec of a job that was submitted before its images were known, and of which nothing is decided yet."""
    if spec.fallback is None or spec.fallback.used is not None:
        return spec
    if is_small_greyscale(dataset):
        return spec.model_copy(
            update={"model": spec.fallback.model, "training": spec.fallback.training, "fallback": None}
        )
    if spec.model.params.get("image_size") is not None:
        return spec
    params = {**spec.model.params, **_enlarged(dataset)}
    return spec.model_copy(update={"model": spec.model.model_copy(update={"params": params})})


def _takes(name: str, given: Mapping[str, Any]) -> bool:
    return given.keys() <= MODELS[name].params.model_fields.keys()


def _enlarged(dataset: DatasetInfo) -> dict[str, Any]:
    images = dataset.images
    return {"image_size": _ENLARGED_TO} if images is not None and images.largest_side <= _ENLARGED else {}
