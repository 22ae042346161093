"""A job's network once more, for samples that it has not seen."""

from collections.abc import Callable, Iterator

from torch import nn

from service.domain.specs import JobSpec
from worker.backbones.footing import Footing
from worker.backbones.pretrained import Front, Shelf, standardised, trained
from worker.backbones.sources import unfit
from worker.data.decode import Canonical, Inputs


def again(
    spec: JobSpec, dataset: Canonical, shelf: Shelf, footing: Footing
) -> tuple[nn.Module, Callable[[Canonical], Iterator[Inputs]]]:
    """What was trained, its weights still to be loaded, and what makes its inputs of samples, in parts.

    `dataset` is the job's own: it says how long texts are. Raises Invalid where the pretrained network is gone, or is
    another by now.
    """
    front = Front(spec, dataset, shelf)
    if front.network != footing.network:
        raise unfit(f"{front.name} is not the one any more that this job was trained on")
    body = None if front.trainable == 0 else front.back
    model = trained(spec, footing.standard, body, len(dataset.header.classes))

    def inputs(samples: Canonical) -> Iterator[Inputs]:
        for given in front.fresh(samples):
            yield (standardised(given[0], footing.standard),) if body is None else given

    return model, inputs
