"""Anomaly measures, independent of labels: remoteness, crowding and divergence from a trusted reference.

Each is on the scale of the reference samples themselves: 0 = their median, 1 = their 95 % quantile. An anomaly shows in
one of the three and rarely in all. Scattered anomalies are remote, clustered ones are crowded, and samples that mix
ordinary values diverge in direction alone.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from worker.influence.row_computations import (
    Arrays,
    Begin,
    Numbers,
    OfRows,
    OnShare,
    Recipe,
    RowComputation,
    alone,
    ranges,
)
from worker.machine.devices import CPU
from worker.signals.sample_groups import SampleGroups, together

ISOLATION = "isolation"
_SECONDS_A_DISTANCE = 5e-9
_BLOCK = 1_024
_COLUMNS = 2_000  # training rows, drawn, by which crowding is counted, and isolation
_NEAREST = 10  # of them is the distance to the farthest that isolation is
_EACH = 256  # rows, drawn, that stand for a label
FEWEST = 10  # reference rows that a comparison needs
_ALIKE = 0.3  # median of the training samples, in units of the reference: a fifth of anomalies do not reach it
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


def strangeness(
    features: Float[Tensor, "n w"],
    known: Float[Tensor, "m w"],
    generator: torch.Generator,
    groups: SampleGroups | None = None,
    training_rows: Int[Tensor, " m"] | None = None,
) -> Strangeness:
    """Compare n training samples with m reference samples, in features of one checkpoint.

    Remoteness: log distance to the k-th nearest reference row. Crowding: log of the number of training rows within
    that distance. Divergence: remoteness between directions. Rows of its group are left out for each sample, unless fewer than
    k reference rows are of other groups. `training_rows`: the training samples that the reference rows are, -1 for none, which
    are not compared with themselves. Raises ValueError below 10 reference rows.
    """
    compared = StrangenessRows.with_draws(features, known, generator, groups, training_rows)
    return compared.in_units(compared.train(slice(0, len(features))))


@dataclass(frozen=True)
class StrangenessRows:
    """Training and reference samples whose three measures are taken; the training samples' in ranges of rows.

    `own_known` and `own_other`: for each training sample its place among the reference samples, and among the `columns` that are drawn
    of the training samples, -1 where it has none.
    """

    features: Float[Tensor, "n w"]
    known: Float[Tensor, "m w"]
    columns: Int[Tensor, " c"]
    own_known: Int[Tensor, " n"] | None
    own_other: Int[Tensor, " n"]
    groups: SampleGroups | None
    training_rows: Int[Tensor, " m"] | None

    @classmethod
    def with_draws(
        cls,
        features: Float[Tensor, "n w"],
        known: Float[Tensor, "m w"],
        generator: torch.Generator,
        groups: SampleGroups | None,
        training_rows: Int[Tensor, " m"] | None,
    ) -> "StrangenessRows":
        """With 2,000 training rows that stand for all. Raises ValueError below 10 reference rows."""
        if len(known) < FEWEST:
            raise ValueError(f"{len(known)} reference rows are too few")
        columns = torch.randperm(len(features), generator=generator, device=CPU)[:_COLUMNS].to(features.device)
        own_known = None
        if training_rows is not None:
            inside = (training_rows >= 0).nonzero().squeeze(1)
            own_known = torch.full((len(features),), -1, dtype=torch.int64)
            own_known[training_rows[inside]] = inside
        return cls(features, known, columns, own_known, _places(columns, len(features)), groups, training_rows)

    def train(self, rows: slice) -> Float[Tensor, "3 b"]:
        """The measures of some training samples, in units of their own."""
        kin = self._kin(None if self.groups is None else self.groups.train)
        return _measure(self.features, rows, self.known, self._others, self.own_known, self.own_other, kin)

    def in_units(self, train: Float[Tensor, "3 n"]) -> Strangeness:
        """The measures of all training samples, and of the reference samples, in units of the reference."""
        own_other = None
        if self.training_rows is not None:
            own_other = torch.where(self.training_rows >= 0, self.own_other[self.training_rows.clamp(min=0)], -1)
        kin = self._kin(None if self.groups is None else self.groups.reference)
        every = torch.arange(len(self.known))
        reference = _measure(self.known, slice(0, len(every)), self.known, self._others, every, own_other, kin)
        middle, high = torch.quantile(reference, torch.tensor([0.5, 0.95]), dim=1)[:, :, None]
        scale = (high - middle).clamp(min=1e-6)
        # One training row more than at the median is the least that counts: no reference row may have any so near.
        scale[1] = scale[1].maximum((middle[1].exp() + 1).log() - middle[1])
        return Strangeness((train - middle) / scale, (reference - middle) / scale)

    @property
    def _others(self) -> Float[Tensor, "c w"]:
        return self.features[self.columns]

    def _kin(self, rows: Int[Tensor, " k"] | None) -> "_Kin | None":
        if self.groups is None or rows is None:
            return None
        return _Kin(rows, self.groups.reference, self.groups.train[self.columns])


def over_checkpoints(found: Sequence[Strangeness]) -> Strangeness:
    """The mean over the first checkpoint and those at which most training samples are as strange as the reference.

    A network may learn its training samples so well that they are remoter than others, or closer together. Such a measure
    of that checkpoint is left out.
    """
    train, reference = (torch.stack([getattr(one, name) for one in found]) for name in ("train", "reference"))
    alike = train.median(2).values <= _ALIKE
    alike[0] = True
    weight = (alike.float() / alike.sum(0))[:, :, None]
    return Strangeness((weight * train).sum(0), (weight * reference).sum(0))


def begin_isolation(
    features: Float[Tensor, "n w"],
    generator: torch.Generator,
    groups: Int[Tensor, " n"] | None = None,
    *,
    begin: Begin = alone,
    on_share: OnShare = lambda _share: None,
) -> Callable[[], Float[Tensor, " n"]]:
    """Begin to compute the log distance to the 10th nearest training sample, without the sample's group. Higher = farther from all others.

    Unit: 0 = median, 1 = 95 % quantile of all training samples. Of more than 2,000 samples, 2,000 stand for all. Where fewer than
    ten are of other groups, the farthest of them counts; a sample without any gets the largest value.
    """
    arrays = {"features": features, "columns": torch.randperm(len(features), generator=generator)[:_COLUMNS]}
    if groups is not None:
        arrays["groups"] = groups
    seconds = len(features) * len(arrays["columns"]) * _SECONDS_A_DISTANCE
    recipe = Recipe(ISOLATION, arrays)
    found = begin(
        RowComputation(ISOLATION, len(features), seconds, partial(open_isolation, arrays, {}), recipe), on_share
    )

    def end() -> Float[Tensor, " n"]:
        result = found()["distance"]
        there = result > -torch.inf
        if not there.any():
            return torch.zeros_like(result)
        return in_units(torch.where(there, result, result.max()), 0.95)

    return end


def isolation(
    features: Float[Tensor, "n w"], generator: torch.Generator, groups: Int[Tensor, " n"] | None = None
) -> Float[Tensor, " n"]:
    """The same, at once and in this process."""
    return begin_isolation(features, generator, groups)()


def open_isolation(arrays: Mapping[str, Tensor], _numbers: Numbers) -> OfRows:
    """The function of rows that gives that distance, -inf for a sample without any other, from a recipe."""
    features, columns, groups = arrays["features"], arrays["columns"], arrays.get("groups")
    places, others = _places(columns, len(features)), features[columns]

    def of_rows(rows: slice) -> Arrays:
        result = torch.empty(rows.stop - rows.start)
        for part in ranges(rows, _BLOCK):
            far = torch.cdist(features[part], others)
            inside = (places[part] >= 0).nonzero().squeeze(1)
            far[inside, places[part][inside]] = torch.inf
            if groups is not None:
                far.masked_fill_(together(groups[part], groups[columns]), torch.inf)
            near = far.topk(min(_NEAREST, len(columns)), dim=1, largest=False).values
            near = near.masked_fill(near == torch.inf, -torch.inf).amax(1)
            into = slice(part.start - rows.start, part.stop - rows.start)
            result[into] = torch.where(near >= 0, near.clamp(min=1e-9).log(), -torch.inf)
        return {"distance": result}

    return of_rows


def label_distance(
    features: Float[Tensor, "n w"],
    labels: Int[Tensor, " n"],
    classes: int,
    generator: torch.Generator,
    groups: Int[Tensor, " n"] | None = None,
) -> Float[Tensor, " n"]:
    """Log distance within which half of the sample's own label lies, without its group. Higher = farther from its label.

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
            if groups is None:
                result[part] = far.kthvalue(min(half + 1, len(drawn)), dim=1).values.clamp(min=1e-9).log()
            else:
                itself = torch.isin(part, drawn).long()
                result[part] = _half_of_others(
                    far.masked_fill_(together(groups[part], groups[drawn]), torch.inf), itself
                )
    there = result > -torch.inf
    if not there.any():
        return torch.zeros_like(result)
    return in_units(torch.where(there, result, result.max()), 0.95)


def in_units(values: Float[Tensor, " n"], high: float) -> Float[Tensor, " n"]:
    """The values on the scale where 0 is the median and 1 the quantile `high`."""
    # A regular subset of very many rows: torch's quantile takes no more than 16 million.
    middle, top = torch.quantile(values[:: 1 + len(values) // 10_000_000], torch.tensor([0.5, high])).tolist()
    scaled: Tensor = (values - middle) / max(top - middle, 1e-6)
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
    features: Float[Tensor, "n w"],
    rows: slice,
    known: Float[Tensor, "m w"],
    others: Float[Tensor, "c w"],
    own_known: Int[Tensor, " n"] | None,
    own_other: Int[Tensor, " n"] | None,
    kin: "_Kin | None",
) -> Float[Tensor, "3 b"]:
    # `own_known` and `own_other` are the columns that are the row itself, -1 where there is none.
    k = neighbour_number(len(known))
    result = torch.empty(_MEASURES, rows.stop - rows.start)
    known_directions, smallest = normalize(known), _smallest(known)
    for part in ranges(rows, _BLOCK):
        into = slice(part.start - rows.start, part.stop - rows.start)
        own = None if own_known is None else own_known[part]
        related = None if kin is None else kin.to_known(part, k)
        radius = _kth(torch.cdist(features[part], known), k, own, related)
        result[0, into] = (radius + smallest).log()
        inside = torch.cdist(features[part], others) <= radius[:, None]
        if kin is not None:
            within = (inside & ~together(kin.rows[part], kin.others)).sum(1)
        elif own_other is not None:
            within = inside.sum(1) - (own_other[part] >= 0).long()
        else:
            within = inside.sum(1)
        result[1, into] = (within + 1).float().log()
        chord = (2 - 2 * normalize(features[part]) @ known_directions.T).clamp(min=0).sqrt()
        result[2, into] = (_kth(chord, k, own, related) + 1e-4).log()
    return result


@dataclass(frozen=True)
class _Kin:
    """Numbers of the groups of the rows that are measured, and of those that they are compared with."""

    rows: Int[Tensor, " n"]
    known: Int[Tensor, " m"]
    others: Int[Tensor, " c"]

    def to_known(self, part: slice, k: int) -> Bool[Tensor, "b m"]:
        """The known rows to be left out, unless fewer than k would be left."""
        related = together(self.rows[part], self.known)
        return related & ((~related).sum(1) >= k)[:, None]


def _half_of_others(far: Float[Tensor, "b m"], itself: Int[Tensor, " b"]) -> Float[Tensor, " b"]:
    """Log of the finite distance that ends the nearer half of a row, of which the row itself counts 1; -inf without any."""
    there = (far < torch.inf).sum(1)
    half = ((there + itself) // 2).clamp(min=1)
    found = far.sort(1).values.gather(1, half[:, None] - 1).squeeze(1)
    return torch.where(there > 0, found.clamp(min=1e-9).log(), -torch.inf)


def _kth(
    distances: Float[Tensor, "b m"], k: int, own: Int[Tensor, " b"] | None, related: Bool[Tensor, "b m"] | None
) -> Float[Tensor, " b"]:
    if related is not None:
        distances.masked_fill_(related, torch.inf)
    if own is not None:
        inside = (own >= 0).nonzero().squeeze(1)
        distances[inside, own[inside]] = torch.inf
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
