"""Votes of the nearest neighbours on the label of every sample."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.machine.devices import CPU, computed_on, free_memory
from worker.signals.neighbours import directions, nearest, nearest_of_others, vote, vote_of_some
from worker.signals.reference import ReferenceSamples
from worker.signals.sample_groups import SampleGroups
from worker.signals.support import own_label_support

_NEIGHBOURS = 10
_EMBEDDING_NEIGHBOURS = 20
_PART = 65_536


@dataclass(frozen=True)
class NeighbourVotes:
    """Shares of the classes among the nearest neighbours, rows sum to 1: mean over S checkpoints, and at the first one.

    `own_support`: mean cosine, in [-1, 1], with the nearer half of the sample's own label at each of the S checkpoints.
    """

    mean: Float[Tensor, "n c"]
    first: Float[Tensor, "n c"]
    own_support: Float[Tensor, "s n"]

    @classmethod
    def over(cls, checkpoints: Sequence["CheckpointVotes"]) -> "NeighbourVotes":
        """Put S checkpoints together."""
        mean = torch.zeros_like(checkpoints[0].votes)
        for one in checkpoints:
            mean.add_(one.votes, alpha=1 / len(checkpoints))
        return cls(mean, checkpoints[0].votes, torch.stack([one.own_support for one in checkpoints]))


@dataclass(frozen=True)
class CheckpointVotes:
    """The same at one checkpoint."""

    votes: Float[Tensor, "n c"]
    own_support: Float[Tensor, " n"]


def checkpoint_votes(
    activations: Float[Tensor, "n d"],
    labels: Int[Tensor, " n"],
    reference: ReferenceSamples,
    classes: int,
    t: int,
    generator: torch.Generator,
    groups: SampleGroups | None = None,
    device: torch.device = CPU,
) -> CheckpointVotes:
    """Votes by cosine between the inputs of the last layer, computed on `device`. Trusted reference samples vote beside the training rows.

    A sample has no vote on its own group. A training row that people have verified votes for what they said, once.
    """
    pool, pool_labels = activations, reference.corrected(labels)
    own = None if groups is None else groups.train
    pool_groups = own
    if reference.trusted:
        rows = reference.training_rows
        others = torch.arange(len(reference.labels)) if rows is None else (rows < 0).nonzero().squeeze(1)
        pool = torch.cat([activations, reference.trace.activations[t][others]])
        pool_labels = torch.cat([pool_labels, reference.labels[others]])
        pool_groups = None if groups is None else torch.cat([groups.train, groups.reference[others]])
    drawn = generator.get_state()

    def voted(place: torch.device) -> CheckpointVotes:
        generator.set_state(drawn)
        known = directions(pool.to(place))
        votes = _votes(known, len(labels), pool_labels, classes, _NEIGHBOURS, generator, pool_groups)
        related = None if own is None else own.to(place)
        support = own_label_support(known[: len(labels)], labels.to(place), classes, generator, related)
        return CheckpointVotes(votes, support.to(CPU))

    return computed_on(_place(pool, device), voted)


def embedding_votes(
    embeddings: Float[Tensor, "n f"],
    labels: Int[Tensor, " n"],
    classes: int,
    generator: torch.Generator,
    groups: SampleGroups | None = None,
    device: torch.device = CPU,
) -> Float[Tensor, "n c"]:
    """Votes by cosine between uploaded embeddings, which no training has changed, computed on `device`; rows sum to 1."""
    own, drawn = None if groups is None else groups.train, generator.get_state()

    def voted(place: torch.device) -> Float[Tensor, "n c"]:
        generator.set_state(drawn)
        known = directions(embeddings.to(place))
        return _votes(known, len(labels), labels, classes, _EMBEDDING_NEIGHBOURS, generator, own)

    return computed_on(_place(embeddings, device), voted)


def _place(rows: Float[Tensor, "p d"], device: torch.device) -> torch.device:
    """The device, or the processor where it has no room for the rows and as much again."""
    return device if device == CPU or 2 * rows.nbytes < free_memory(device) else CPU


def _votes(
    rows: Float[Tensor, "p d"],
    samples: int,
    labels: Int[Tensor, " p"],
    classes: int,
    count: int,
    generator: torch.Generator,
    groups: Int[Tensor, " p"] | None,
) -> Float[Tensor, "n c"]:
    labels = labels.to(rows.device)
    if groups is None:
        cosines, found = nearest(rows[:samples], rows, count, generator, torch.arange(samples))
        share = vote
    else:
        groups = groups.to(rows.device)
        cosines, found = nearest_of_others(rows[:samples], rows, count, generator, groups[:samples], groups)
        share = vote_of_some
    # Part by part: labels and weights of all neighbours take more than the neighbours themselves.
    parts = zip(torch.split(cosines, _PART), torch.split(found, _PART), strict=True)
    return torch.cat([share(near, labels[places], classes) for near, places in parts]).to(CPU)
