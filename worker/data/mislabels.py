"""Planted wrong labels, one function a kind. Inputs stay as they are.

A function gets the rows that may be touched, in random order, and the number that is wanted. It says which rows are
touched and which labels they get.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor

from service.domain.errors import Invalid
from worker.data.anomalies import EncodedSamples

_WIDTH = 64  # numbers of a sample by which distances are measured; more are projected to as many
_COMPARED = 4_096  # samples that the others are compared with, at most
_BLOCK = 4_096
_NEAREST = 3  # samples of a class, whose mean distance is the distance from the class
_PREFERRED = 6.0  # logarithm of how much likelier the most ambiguous sample is touched than the least
_CLUSTERS = 4
_FEWEST = 5  # samples of a cluster

Rows = Int[Tensor, " _"]
Labelled = tuple[Rows, Rows]


def uniform(samples: EncodedSamples, free: Rows, wanted: int, generator: torch.Generator) -> Labelled:
    """Any other label, each equally likely."""
    rows = free[:wanted]
    steps = torch.randint(1, samples.classes, (wanted,), generator=generator)
    return rows, (samples.labels[rows] + steps) % samples.classes


def pair(samples: EncodedSamples, free: Rows, wanted: int, _generator: torch.Generator) -> Labelled:
    """The next class."""
    rows = free[:wanted]
    return rows, (samples.labels[rows] + 1) % samples.classes


def confusion(samples: EncodedSamples, free: Rows, wanted: int, generator: torch.Generator) -> Labelled:
    """A label that is the likelier, the nearer the means of the classes are."""
    rows = free[:wanted]
    likely = torch.softmax(-4 * _distances_of_means(samples), 1)[samples.labels[rows]]
    return rows, torch.multinomial(likely, 1, generator=generator).squeeze(1)


def one_way(samples: EncodedSamples, free: Rows, wanted: int, generator: torch.Generator) -> Labelled:
    """Labels of half of the classes become that of the nearest class of the other half; none goes back.

    Raises Invalid where that half has too few samples.
    """
    present = samples.labels.bincount(minlength=samples.classes).nonzero().squeeze(1)
    order = present[torch.randperm(len(present), generator=generator)]
    sources = order[: max(1, len(order) // 2)]
    far = _distances_of_means(samples)
    far[:, sources] = torch.inf
    rows = free[torch.isin(samples.labels[free], sources)][:wanted]
    if len(rows) < wanted:
        raise Invalid(
            f"mislabeled_one_way finds {len(rows)} of {wanted} samples in half of the classes; lower its rate"
        )
    return rows, far.argmin(1)[samples.labels[rows]]


def human(samples: EncodedSamples, free: Rows, wanted: int, generator: torch.Generator) -> Labelled:
    """Samples that look like those of another class get its label: the more alike, the likelier."""
    places = _places(samples, generator)
    by_class = _distances_from_classes(samples, places, free, generator)
    own = by_class.gather(1, samples.labels[free][:, None]).squeeze(1)
    other, label = by_class.scatter(1, samples.labels[free][:, None], torch.inf).min(1)
    alike = (own / other.clamp(min=1e-9)).nan_to_num(nan=0.0, posinf=0.0)
    order = alike.argsort(stable=True).argsort(stable=True) / len(free)
    noise = -torch.empty(len(free)).exponential_(generator=generator).log()
    chosen = (_PREFERRED * order + noise).topk(wanted).indices
    return free[chosen], label[chosen]


def cluster(samples: EncodedSamples, free: Rows, wanted: int, generator: torch.Generator) -> Labelled:
    """A few clusters (usually four), each of samples of one class that are alike, with the label of the class next to them."""
    places = _places(samples, generator)
    size = max(_FEWEST, -(-wanted // _CLUSTERS))
    left, rows, labels = free, free[:0], free[:0]
    while len(rows) < wanted:
        centre = left[0]
        alike = left[samples.labels[left] == samples.labels[centre]]
        near = (places[alike] - places[centre]).norm(dim=1).argsort(stable=True)
        found = alike[near[: min(size, wanted - len(rows))]]
        far = _distances_from_classes(samples, places, centre[None], generator)[0]
        far[samples.labels[centre]] = torch.inf
        rows = torch.cat([rows, found])
        labels = torch.cat([labels, far.argmin().expand(len(found))])
        left = left[~torch.isin(left, found)]
    return rows, labels


def _places(samples: EncodedSamples, generator: torch.Generator) -> Float[Tensor, "n p"]:
    """A place for each sample, in which distances are roughly those of its standardised features."""
    flat = samples.flat()
    flat = (flat - flat.mean(0)) / flat.std(0, unbiased=False).clamp(min=1e-6)
    if flat.shape[1] <= _WIDTH:
        return flat
    directions = torch.randn(flat.shape[1], _WIDTH, generator=generator) / flat.shape[1] ** 0.5
    return torch.mm(flat, directions)


def _distances_from_classes(
    samples: EncodedSamples, places: Float[Tensor, "n p"], rows: Rows, generator: torch.Generator
) -> Float[Tensor, "k c"]:
    """Mean distance of each row from the nearest samples of each class, without itself; infinite for an empty class."""
    others = torch.randperm(len(places), generator=generator)[:_COMPARED]
    labels = samples.labels[others]
    found = torch.full((len(rows), samples.classes), torch.inf)
    for start in range(0, len(rows), _BLOCK):
        block = rows[start : start + _BLOCK]
        far = torch.cdist(places[block], places[others])
        far[block[:, None] == others] = torch.inf
        for label in torch.unique(labels).tolist():
            of_class = far[:, labels == label]
            nearest = of_class.topk(min(_NEAREST, of_class.shape[1]), largest=False).values
            found[start : start + _BLOCK, label] = nearest.mean(1)
    return found


def _distances_of_means(samples: EncodedSamples) -> Float[Tensor, "c c"]:
    """Distances of the classes' means, in units of their average; infinite on the diagonal and to an empty class."""
    flat = samples.flat()
    sums = torch.zeros(samples.classes, flat.shape[1]).index_add_(0, samples.labels, flat)
    sizes = samples.labels.bincount(minlength=samples.classes)
    means = sums / sizes.clamp(min=1)[:, None]
    far = torch.cdist(means, means)
    far = far / far[far > 0].mean().clamp(min=1e-9) if bool((far > 0).any()) else far
    far[:, sizes == 0] = torch.inf
    far.fill_diagonal_(torch.inf)
    return far


MISLABELS: dict[str, Callable[[EncodedSamples, Rows, int, torch.Generator], Labelled]] = {
    "mislabeled_uniform": uniform,
    "mislabeled_pair": pair,
    "mislabeled_confusion": confusion,
    "mislabeled_one_way": one_way,
    "mislabeled_human": human,
    "mislabeled_cluster": cluster,
}
