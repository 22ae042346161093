"""Anomaly measures, independent of labels: remoteness, crowding and divergence from a trusted reference.

Each is on the scale of the reference samples themselves: 0 = their median, 1 = their 95 % quantile. An anomaly shows in
one of the three and rarely in all. Scattered anomalies are remote, clustered ones are crowded, and samples that mix
ordinary values diverge in direction alone.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

_BLOCK = 1_024
_COLUMNS = 2_000  # training rows, drawn, by which crowding is counted
_EACH = 256  # rows, drawn, that stand for a label
FEWEST = 10  # reference rows that a comparison needs
_MEASURES = 3  # remoteness, crowding, divergence


@dataclass(frozen=True)
class Strangeness:
    """Remoteness, crowding and divergence of training samples, and of reference samples, each compared with the others.

    Unit: 0 = median, 1 = 95 % quantile of the reference samples. Higher = more anomalous.
    """

    train: Float[Tensor, "3 n"]
    reference: Float[Tensor, "3 m"]


def neighbour_number(references: int) -> int:
    """The k of "distance to the k-th nearest reference row": a hundredth of the rows, at least 1 and at most 5."""
    return min(5, max(1, references // 100))


def strangeness(features: Float[Tensor, "n w"], known: Float[Tensor, "m w"], generator: torch.Generator) -> Strangeness:
    """Compare n training samples with m reference samples, in features of one checkpoint.

    Remoteness: log distance to the k-th nearest reference row. Crowding: log of the number of training rows within
    that distance. Divergence: remoteness between directions. Raises ValueError below 10 reference rows.
    """
    if len(known) < FEWEST:
        raise ValueError(f"{len(known)} reference rows are too few")
    columns = torch.randperm(len(features), generator=generator)[:_COLUMNS]
    train = _measure(features, known, features[columns], None, _places(columns, len(features)))
    reference = _measure(known, known, features[columns], torch.arange(len(known)), None)
    middle, high = torch.quantile(reference, torch.tensor([0.5, 0.95]), dim=1)[:, :, None]
    scale = (high - middle).clamp(min=1e-6)
    return Strangeness((train - middle) / scale, (reference - middle) / scale)


def label_distance(
    features: Float[Tensor, "n w"], labels: Int[Tensor, " n"], classes: int, generator: torch.Generator
) -> Float[Tensor, " n"]:
    """Log distance within which half of the sample's own label lies. Higher = farther from its label.

    Unit: 0 = median, 1 = 95 % quantile of all training samples. A sample alone in its label gets the largest value. Of a
    label with more than 256 rows, 256 stand for all.
    """
    result = torch.full((len(labels),), -torch.inf)
    for label in range(classes):
        members = (labels == label).nonzero().squeeze(1)
        if len(members) < 2:
            continue
        drawn = members[torch.randperm(len(members), generator=generator)[:_EACH]]
        half = max(1, len(drawn) // 2)
        for part in torch.split(members, _BLOCK):
            far = torch.cdist(features[part], features[drawn])
            result[part] = far.kthvalue(min(half + 1, len(drawn)), dim=1).values.clamp(min=1e-9).log()
    there = result > -torch.inf
    if not there.any():
        return torch.zeros_like(result)
    result = torch.where(there, result, result.max())
    # A regular subset of very many rows: torch's quantile takes no more than 16 million.
    middle, high = torch.quantile(result[:: 1 + len(result) // 10_000_000], torch.tensor([0.5, 0.95])).tolist()
    scaled: Tensor = (result - middle) / max(high - middle, 1e-6)
    return scaled


def tail_score(strangest: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
    """A score in [0, 1] from the largest of the three measures: about the share of the reference that is less anomalous.

    0.5 at the median of the reference, 0.95 at its 95 % quantile. Beyond that the logarithm counts, so that extreme
    samples still differ in float64.
    """
    z = strangest.double()
    damped = torch.where(z > 1, 1 + z.clamp(min=1).log(), z)
    return torch.sigmoid(damped * torch.log(torch.tensor(19.0, dtype=torch.float64)))


def _measure(
    rows: Float[Tensor, "n w"],
    known: Float[Tensor, "m w"],
    others: Float[Tensor, "c w"],
    own_known: Int[Tensor, " n"] | None,
    own_other: Int[Tensor, " n"] | None,
) -> Float[Tensor, "3 n"]:
    # `own_known` and `own_other` are the columns that are the row itself, -1 where there is none.
    k = neighbour_number(len(known))
    result = torch.empty(_MEASURES, len(rows))
    directions, known_directions = normalize(rows), normalize(known)
    smallest = _smallest(known)
    for start in range(0, len(rows), _BLOCK):
        part = slice(start, start + _BLOCK)
        own = None if own_known is None else own_known[part]
        radius = _kth(torch.cdist(rows[part], known), k, own)
        result[0, part] = (radius + smallest).log()
        within = (torch.cdist(rows[part], others) <= radius[:, None]).sum(1)
        if own_other is not None:
            within = within - (own_other[part] >= 0).long()
        result[1, part] = (within + 1).float().log()
        chord = (2 - 2 * directions[part] @ known_directions.T).clamp(min=0).sqrt()
        result[2, part] = (_kth(chord, k, own) + 1e-4).log()
    return result


def _kth(distances: Float[Tensor, "b m"], k: int, own: Int[Tensor, " b"] | None) -> Float[Tensor, " b"]:
    if own is not None:
        distances[torch.arange(len(own)), own] = torch.inf
    return distances.topk(k, dim=1, largest=False, sorted=False).values.amax(1)


def _smallest(known: Float[Tensor, "m w"]) -> Float[Tensor, ""]:
    # A twentieth of the usual distance, so that the logarithm exists for exact repetitions.
    sample = known[:_BLOCK]
    distances = torch.cdist(sample, sample)
    distances.fill_diagonal_(torch.inf)
    return 0.05 * distances.amin(1).median() + 1e-9


def _places(columns: Int[Tensor, " c"], rows: int) -> Int[Tensor, " n"]:
    places = torch.full((rows,), -1, dtype=torch.int64)
    places[columns] = torch.arange(len(columns))
    return places
