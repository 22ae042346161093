"""Checks of a job before it is begun: its reference, its network and its webhook against what is stored here."""

import json
from collections.abc import Collection, Iterator

from service.actions.find import find_dataset, find_network
from service.domain.dataset import DatasetInfo, Feature
from service.domain.errors import FieldError, invalid, invalid_fields
from service.domain.holdout import refuse_empty_holdout
from service.domain.network import NetworkInfo
from service.domain.specs import JobSpec
from service.domain.webhook import WebhookRequest
from service.ingest.identities import class_sizes, missing_ids
from service.outbound.addresses import names_private_host
from service.services import Services

_KINDS = {"exported": "program", "safetensors": "state"}
_NUMBERS = ("numeric", "boolean")
_CHANNELS = (1, 3)
_LARGEST_SIDE = 1024  # pixels, as image_size of the other networks
_PARAMS: list[str | int] = ["model", "params"]
_LISTED = 20


def check_reference(services: Services, spec: JobSpec, info: DatasetInfo) -> None:
    """Raise Invalid or NotFound for a reference that does not fit the dataset.

    Samples are looked for, and a holdout is counted, once they are there: of tasks that are still to be pulled, after the pull.
    """
    if "train" not in info.splits:
        raise invalid(["dataset"], f"no row has the split train; the dataset has {', '.join(info.splits)}")
    reference = spec.reference
    if reference is None:
        return
    if reference.holdout is not None and spec.source is None:
        refuse_empty_holdout(reference.holdout, _trained_on(services, info))
    if reference.samples is not None and spec.source is None:
        unknown = missing_ids(services.blobs.canonical(info.id), reference.samples)
        if unknown:
            msgs = [f"no sample {name!r} in the dataset" for name in unknown[:_LISTED]]
            if len(unknown) > _LISTED:
                msgs.append(f"and {len(unknown) - _LISTED} more")
            raise invalid_fields([FieldError(loc=["reference", "samples"], msg=msg) for msg in msgs])
    if reference.dataset is not None:
        _check_other(info, find_dataset(services, reference.dataset, "reference", "dataset"))


def _trained_on(services: Services, info: DatasetInfo) -> Collection[int]:
    """The sizes of the classes in the training part. Counted in the file where the dataset has other parts, too."""
    if len(info.splits) > 1:
        return class_sizes(services.blobs.canonical(info.id), "train")
    return info.class_counts.values()


def _check_other(info: DatasetInfo, other: DatasetInfo) -> None:
    place = ("reference", "dataset")
    if other.id == info.id:
        raise invalid(place, "this is the dataset itself; leave reference out, or name a split, a holdout or samples")
    if other.modality != info.modality:
        raise invalid(place, f"holds {other.modality} data, the dataset {info.modality} data")
    known = {(one.name, one.kind) for one in other.features}
    lacking = [one for one in info.features if (one.name, one.kind) not in known]
    if info.modality == "tabular" and lacking:
        raise invalid(place, f"lacks the features {'; '.join(_lack(one, other) for one in lacking[:_LISTED])}")
    unknown = [name for name in other.classes if name not in info.classes]
    if unknown:
        raise invalid(place, f"has classes that the dataset has not: {', '.join(unknown[:_LISTED])}")


def _lack(wanted: Feature, other: DatasetInfo) -> str:
    """A feature that a reference has not, and what its upload made of the column of that name."""
    column = next((one for one in other.columns if one.name == wanted.name), None)
    if column is None:
        return f"{wanted.name} ({wanted.kind})"
    read = f"as {column.kind}" if column.role == "input" else f"as {column.role}, {column.why}"
    cure = json.dumps({wanted.name: wanted.kind}, ensure_ascii=False)
    return (
        f"{wanted.name} ({wanted.kind}), which was read {read}: upload the reference with the kinds {cure} in its spec"
    )


def check_webhook(services: Services, webhook: WebhookRequest | None) -> None:
    """Raise Invalid for an address that is plainly inside. What a name leads to is looked up whenever it is called."""
    if webhook is not None and not services.settings.allow_private_webhooks and names_private_host(webhook.url):
        msg = "is at a private address; SUSPECTS_ALLOW_PRIVATE_WEBHOOKS=true on this installation would allow it"
        raise invalid(["webhook", "url"], msg)


def check_network(services: Services, spec: JobSpec, info: DatasetInfo) -> None:
    """Raise Invalid or NotFound for an uploaded network that does not fit the model that was asked for, or the dataset."""
    if spec.model.network is None:
        return
    network = find_network(services, spec.model.network, *_PARAMS, "network")
    wanted = _KINDS[spec.model.name]
    if network.kind != wanted:
        msg = f"{network.id} is a {network.kind}; model {spec.model.name} begins with a {wanted}"
        raise invalid([*_PARAMS, "network"], msg)
    found = list(_misfits(network, spec, info)) if network.kind == "program" else []
    if found:
        raise invalid_fields(found)


def _misfits(network: NetworkInfo, spec: JobSpec, info: DatasetInfo) -> Iterator[FieldError]:
    """What is wrong with an exported program for such data."""
    layer, names = spec.model.params["layer"], [one.name for one in network.layers]
    if layer is not None and names.count(layer) != 1:
        msg = f"{'is used twice in' if layer in names else 'is no linear layer of'} it; it has {', '.join(names[-_LISTED:])}"
        yield FieldError(loc=[*_PARAMS, "layer"], msg=msg)
    shape = network.input or []
    if info.modality == "image":
        sides = [size for size in shape[2:] if size is not None and size <= _LARGEST_SIDE]
        fits = len(shape) == 4 and shape[1] in _CHANNELS and len(sides) == 2 and network.input_type != "other"
        wanted = f"samples x 1 or 3 colours x height x width, of float32 or uint8, with a size that is fixed, up to {_LARGEST_SIDE},"
    else:
        fits = len(shape) == 2 and network.input_type == "float32"
        wanted = "samples x numbers, of float32"
    if not fits:
        told = " x ".join("any" if size is None else str(size) for size in shape)
        msg = f"takes {told} of {network.input_type}; for {info.modality} data {wanted} is expected"
        yield FieldError(loc=[*_PARAMS, "network"], msg=msg)
    elif info.modality == "tabular":
        yield from _unlike(info, shape[1])
    elif info.modality == "image":
        yield from _miscoloured(spec, shape[1])


def _miscoloured(spec: JobSpec, colours: int | None) -> Iterator[FieldError]:
    for name in ("pixel_mean", "pixel_deviation"):
        given = spec.model.params[name]
        if given is not None and len(given) not in (1, colours):
            msg = f"has {len(given)} numbers; the network takes {colours} colours: give 1 or {colours}"
            yield FieldError(loc=[*_PARAMS, name], msg=msg)


def _unlike(info: DatasetInfo, width: int | None) -> Iterator[FieldError]:
    strange = [f"{one.name} ({one.kind})" for one in info.features if one.kind not in _NUMBERS]
    place: list[str | int] = [*_PARAMS, "network"]
    if strange:
        msg = f"an exported program is given numbers; leave out, or encode, {', '.join(strange[:_LISTED])}"
        yield FieldError(loc=place, msg=msg)
    elif width is not None and width != len(info.features):
        yield FieldError(loc=place, msg=f"takes {width} numbers a sample, the dataset has {len(info.features)} columns")
