"""Per-sample gradients of one layer, in the form that is cheapest to multiply, and inner products of them.

A layer with input `u` and backpropagated error `v` (the gradient of the loss for its output) has the gradient
`v (u, 1)'`; the 1 is the input of the bias. It is formed only where that costs less than multiplying the factors.
Letters: n samples, m reference samples, l places, d inputs, o outputs, k classes, s sums, p numbers of a gradient.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import embedding_bag

_FEW = 200  # sums times outputs, up to which multiplying by zeros costs less than gathering rows
_AT_ONCE = 2**24  # numbers of an intermediate result, at most


@dataclass(frozen=True)
class Outer:
    """`v_i (u_i, 1)'`: a Linear layer on rows. `inputs` have the appended 1 where the layer has a bias."""

    inputs: Float[Tensor, "n d"]
    errors: Float[Tensor, "n o"]


@dataclass(frozen=True)
class Positions:
    """`sum_l v_il (u_il, 1)'`: a layer applied at l places of a sequence or an image."""

    inputs: Float[Tensor, "n l d"]
    errors: Float[Tensor, "n l o"]


@dataclass(frozen=True)
class Lookup:
    """`sum_l v_il e_{id_il}'`: an embedding table of `rows` rows, whose inputs are numbers of rows, `ids`."""

    ids: Int[Tensor, "n l"]
    errors: Float[Tensor, "n l o"]
    rows: int


@dataclass(frozen=True)
class Dense:
    """The gradient itself, flat."""

    gradient: Float[Tensor, "n p"]


@dataclass(frozen=True)
class Leaves:
    """One number in one leaf of each of l trees: `ids` of leaves among all `leaves`, and `values`; zero in every other leaf.

    Influence of boosted trees has two sides: `values` are those of the side that these samples are on, `others` those that the same
    samples have on the other.
    """

    ids: Int[Tensor, "n l"]
    values: Float[Tensor, "n l"]
    others: Float[Tensor, "n l"]
    leaves: int


Gradient = Outer | Positions | Lookup | Dense | Leaves


@dataclass(frozen=True)
class GradientSums:
    """s sums of gradients of one layer, each flat: for Outer and Positions of shape `(o, d)`, for Lookup `(rows, o)`."""

    flat: Float[Tensor, "s p"]


def materialise(inputs: Float[Tensor, "n l d"], errors: Float[Tensor, "n l o"]) -> Positions | Dense:
    """Gradients of a layer at l places: formed where a pair then costs no more, o d against l² (d + o) products."""
    places, width, outputs = inputs.shape[1], inputs.shape[2], errors.shape[2]
    if width * outputs <= places * places * (width + outputs):
        return Dense(torch.bmm(errors.transpose(1, 2), inputs).flatten(1))
    return Positions(inputs, errors)


def dots(train: Gradient, reference: Gradient) -> Float[Tensor, "n m"]:
    """`<g_i, g_j>` of every pair. Both sides are of the same layer; TypeError where their forms differ."""
    match train, reference:
        case Outer(), Outer():
            return (train.inputs @ reference.inputs.T).mul_(train.errors @ reference.errors.T)
        case Dense(), Dense():
            return train.gradient @ reference.gradient.T
        case Positions(), Positions():
            return torch.cat(
                [
                    _over_places(
                        torch.einsum("nld,mkd->nmlk", train.inputs, inputs),
                        torch.einsum("nlo,mko->nmlk", train.errors, errors),
                    )
                    for inputs, errors in _few_at_once(train.errors, reference.inputs, reference.errors)
                ],
                1,
            )
        case Lookup(), Lookup():
            return torch.cat(
                [
                    _over_places(
                        torch.einsum("nlo,mko->nmlk", train.errors, errors),
                        train.ids[:, None, :, None] == ids[None, :, None, :],
                    )
                    for ids, errors in _few_at_once(train.errors, reference.ids, reference.errors)
                ],
                1,
            )
        case Leaves(), Leaves():
            few = max(1, _AT_ONCE // reference.leaves)
            parts = zip(torch.split(reference.ids, few), torch.split(reference.values, few), strict=True)
            return torch.cat([_in_same_leaves(train, ids, values) for ids, values in parts], 1)
        case _:
            raise TypeError(f"{type(train).__name__} and {type(reference).__name__} are not of the same layer")


def _in_same_leaves(train: Leaves, ids: Int[Tensor, "m l"], values: Float[Tensor, "m l"]) -> Float[Tensor, "n m"]:
    table = values.new_zeros(train.leaves, len(ids))
    table[ids.flatten(), torch.arange(len(ids)).repeat_interleave(ids.shape[1])] = values.flatten()
    return embedding_bag(train.ids, table, per_sample_weights=train.values, mode="sum")


def _few_at_once(train: Tensor, *reference: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The reference in parts, such that the numbers of all pairs of places fit into `_AT_ONCE`."""
    pairs = train.shape[0] * train.shape[1] * reference[0].shape[1]
    return zip(*(torch.split(one, max(1, _AT_ONCE // max(1, pairs))) for one in reference), strict=True)


def squared_norms(gradient: Gradient) -> Float[Tensor, " n"]:
    """`|g_i|²`; of Outer in double precision: squared errors of samples that are fitted well underflow in float32."""
    match gradient:
        case Outer(inputs, errors):
            # A norm is one pass; squared_norms would be written down first.
            squared: Tensor = (
                torch.linalg.vector_norm(inputs, dim=1).double()
                * torch.linalg.vector_norm(errors, dim=1, dtype=torch.float64)
            ).square()
            return squared
        case Dense(dense):
            return dense.square().sum(1)
        case Positions(inputs, errors):
            products = torch.bmm(inputs, inputs.transpose(1, 2))
            return products.mul_(torch.bmm(errors, errors.transpose(1, 2))).sum((1, 2))
        case Lookup(ids, errors):
            same = ids[:, :, None] == ids[:, None, :]
            return (torch.bmm(errors, errors.transpose(1, 2)) * same).sum((1, 2))
        case Leaves(_, values):
            return values.double().square().sum(1)


def self_products(gradient: Gradient) -> Float[Tensor, " n"]:
    """`<g_i, g_i>`, each sample on both sides: `|g_i|²` but for Leaves, whose sides differ, and where it may be negative."""
    if isinstance(gradient, Leaves):
        return (gradient.values.double() * gradient.others.double()).sum(1)
    return squared_norms(gradient)


def other_side(gradient: Leaves) -> Leaves:
    """The same samples on the other side."""
    return Leaves(gradient.ids, gradient.others, gradient.values, gradient.leaves)


def scaled(gradient: Gradient, factor: Float[Tensor, " n"]) -> Gradient:
    """`factor_i g_i`: each sample's gradient multiplied with its factor."""
    match gradient:
        case Outer(inputs, errors):
            return Outer(inputs, errors * factor[:, None])
        case Dense(dense):
            return Dense(dense * factor[:, None])
        case Positions(inputs, errors):
            return Positions(inputs, errors * factor[:, None, None])
        case Lookup(ids, errors, rows):
            return Lookup(ids, errors * factor[:, None, None], rows)
        case Leaves(ids, values, others, leaves):
            return Leaves(ids, values * factor[:, None], others * factor[:, None], leaves)


def class_sums(
    gradient: Gradient, labels: Int[Tensor, " n"], classes: int, factors: Float[Tensor, "n f"] | None = None
) -> GradientSums:
    """`sum_{j: y_j = c} factor_j g_j` for each of f factors (1 when left out) and each class, ordered by factor, then class.

    Sums of parts of the samples add up to those of all.
    """
    if factors is None:
        factors = torch.ones(len(labels), 1)
    match gradient:
        case Outer(inputs, errors) if _few(classes, factors, errors):
            # One product for all sums: each has columns of its own, which are zero where a row is of another class.
            count, outputs = factors.shape[1], errors.shape[1]
            columns = errors.new_zeros(len(labels), count, classes, outputs)
            columns[torch.arange(len(labels)), :, labels] = factors[:, :, None] * errors[:, None, :]
            return GradientSums((columns.flatten(1).T @ inputs).view(count * classes, -1))
        case _:
            each = [_class_sums(scaled(gradient, factor), labels, classes) for factor in factors.unbind(1)]
            return GradientSums(torch.cat(each))


def _few(classes: int, factors: Float[Tensor, "n f"], errors: Float[Tensor, "n o"]) -> bool:
    return classes * factors.shape[1] * errors.shape[1] <= _FEW


def _class_sums(gradient: Gradient, labels: Int[Tensor, " n"], classes: int) -> Float[Tensor, "k p"]:
    match gradient:
        case Dense(dense):
            return dense.new_zeros(classes, dense.shape[1]).index_add_(0, labels, dense)
        case Lookup(ids, errors, rows):
            outputs = errors.shape[2]
            table = errors.new_zeros(classes * rows, outputs)
            table.index_add_(0, (labels[:, None] * rows + ids).flatten(), errors.flatten(0, 1))
            return table.view(classes, rows * outputs)
        case Leaves(ids, values, _, leaves):
            sums = values.new_zeros(classes * leaves)
            return sums.index_add_(0, (labels[:, None] * leaves + ids).flatten(), values.flatten()).view(
                classes, leaves
            )
        case Outer(inputs, errors):
            return _outer_sums(inputs, errors, labels, classes)
        case Positions(inputs, errors):
            places = inputs.shape[1]
            spread = labels.repeat_interleave(places)
            return _outer_sums(inputs.flatten(0, 1), errors.flatten(0, 1), spread, classes)


def dot_with_sums(gradient: Gradient, sums: GradientSums) -> Float[Tensor, "n s"]:
    """`<g_i, sum_s>` of every sample and sum; no pair of samples is formed."""
    flat = sums.flat
    match gradient:
        case Dense(dense):
            return dense @ flat.T
        case Outer(inputs, errors):
            table, few = flat.view(-1, inputs.shape[1]).T, max(1, _AT_ONCE // max(1, len(flat) * errors.shape[1]))
            parts = zip(torch.split(inputs, few), torch.split(errors, few), strict=True)
            return torch.cat(
                [torch.bmm((u @ table).view(len(u), len(flat), -1), v[:, :, None]).squeeze(2) for u, v in parts]
            )
        case Positions(inputs, errors):
            return Dense(torch.bmm(errors.transpose(1, 2), inputs).flatten(1)).gradient @ flat.T
        case Lookup(ids, errors):
            table = flat.view(len(flat), -1, errors.shape[2])
            return torch.einsum("knlo,nlo->nk", table[:, ids], errors)
        case Leaves(ids, values):
            return embedding_bag(ids, flat.T.contiguous(), per_sample_weights=values, mode="sum")


def concatenate(parts: list[Gradient]) -> Gradient:
    """Gradients of several batches of samples, of the same layer, as one."""
    first = parts[0]
    together = {
        name: torch.cat([getattr(part, name) for part in parts])
        for name, value in vars(first).items()
        if isinstance(value, Tensor)
    }
    match first:
        case Lookup():
            return Lookup(together["ids"], together["errors"], first.rows)
        case Dense():
            return Dense(together["gradient"])
        case Leaves():
            return Leaves(together["ids"], together["values"], together["others"], first.leaves)
        case _:
            return type(first)(together["inputs"], together["errors"])


def byte_size(gradient: Gradient) -> int:
    """Bytes that the gradients take in memory."""
    return sum(value.numel() * value.element_size() for value in vars(gradient).values() if isinstance(value, Tensor))


def _outer_sums(
    inputs: Float[Tensor, "n d"], errors: Float[Tensor, "n o"], labels: Int[Tensor, " n"], classes: int
) -> Float[Tensor, "k p"]:
    order = labels.argsort(stable=True)
    sizes = labels.bincount(minlength=classes).tolist()
    parts = zip(torch.split(inputs[order], sizes), torch.split(errors[order], sizes), strict=True)
    return torch.stack([(own.T @ entered).flatten() for entered, own in parts])


def _over_places(first: Float[Tensor, "n m l k"], second: Tensor) -> Float[Tensor, "n m"]:
    return (first * second).sum((2, 3))
