"""Planted anomalies, one function a kind: the inputs of the chosen rows are replaced.

Tables are `(numeric [n, k], categorical [n, c])`, embeddings `(x [n, d],)`, images `(pixels uint8 [n, c, h, w],)`, texts
`(tokens int64 [n, l],)`, where 0 is no token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import interpolate

_FAR = 3.0  # radii: root mean square distances of the data from their mean
_TIGHT, _LOOSE = 0.15, 0.3  # deviations of the data
_EDGE = 1.2  # times a row's distance from the mean
_GRAINS = 10.0  # grey levels of noise
_OVERDONE = (6.0, 10.0)  # deviations
_TILES = 4  # on each side of an image
_VARIED, _MUCH_VARIED = 0.15, 0.3  # of a text's tokens are others in each copy
_COUNTED = 1_024  # tokens of the same number modulo this are counted together

Rows = Int[Tensor, " _"]


@dataclass(frozen=True)
class EncodedSamples:
    """Encoded inputs and labels of the training part, n rows; a change makes a new value."""

    inputs: tuple[Tensor, ...]
    labels: Int[Tensor, " n"]
    classes: int

    @property
    def are_images(self) -> bool:
        """Whether the inputs are images."""
        return self.inputs[0].dim() > 2

    @property
    def are_texts(self) -> bool:
        """Whether the inputs are token numbers."""
        return len(self.inputs) == 1 and self.inputs[0].dtype == torch.int64

    def flat(self) -> Float[Tensor, "n p"]:
        """A vector for each sample: numbers without the categories beside them, pixels, or counts of tokens."""
        if self.are_texts:
            (tokens,) = self.inputs
            counts = torch.zeros(len(tokens), _COUNTED)
            return counts.scatter_add_(1, tokens % _COUNTED, (tokens > 0).float())
        return (self.inputs[0] if self.inputs[0].numel() else self.inputs[-1]).float().flatten(1)

    def with_rows(self, rows: Rows, values: Sequence[Tensor]) -> "EncodedSamples":
        """The samples with `values` as the inputs of `rows`."""
        parts = [part.clone() for part in self.inputs]
        for part, value in zip(parts, values, strict=True):
            part[rows] = value.to(part.dtype)
        return replace(self, inputs=tuple(parts))

    def labelled(self, rows: Rows, labels: Rows) -> "EncodedSamples":
        """The samples with `labels`, modulo the number of classes, for `rows`."""
        changed = self.labels.clone()
        changed[rows] = labels % self.classes
        return replace(self, labels=changed)


def far_clustered(samples: EncodedSamples, rows: Rows, _rest: Rows, generator: torch.Generator) -> EncodedSamples:
    """One tight cluster far outside of the data, under one label."""
    count = len(rows)
    if samples.are_images:
        found = [_pixels(_smooth(samples, 1, generator).expand(count, -1, -1, -1), generator)]
    elif samples.are_texts:
        (gibberish,) = _gibberish(samples, torch.randint(0, len(samples.labels), (1,), generator=generator), generator)
        found = [_varied(samples, gibberish, count, _VARIED, generator)]
    else:
        mean, deviation, radius = _spread(samples.inputs[0])
        centre = mean + _FAR * radius * _direction(1, len(mean), generator)
        numbers = centre + _TIGHT * deviation * torch.randn(count, len(mean), generator=generator)
        found = [numbers, *(_one_code(part, count, generator) for part in samples.inputs[1:])]
    label = torch.randint(0, samples.classes, (1,), generator=generator)
    return samples.with_rows(rows, found).labelled(rows, label.expand(count))


def far_scattered(samples: EncodedSamples, rows: Rows, _rest: Rows, generator: torch.Generator) -> EncodedSamples:
    """Each far outside of the data in a direction and under a label of its own."""
    count = len(rows)
    if samples.are_images:
        found = [_pixels(_smooth(samples, count, generator), generator)]
    elif samples.are_texts:
        found = [_gibberish(samples, rows, generator)]
    else:
        mean, _, radius = _spread(samples.inputs[0])
        found = [
            mean + _FAR * radius * _direction(count, len(mean), generator),
            *(_mixed(part, count, generator) for part in samples.inputs[1:]),
        ]
    return samples.with_rows(rows, found).labelled(
        rows, torch.randint(0, samples.classes, (count,), generator=generator)
    )


def near_clustered(samples: EncodedSamples, rows: Rows, _rest: Rows, generator: torch.Generator) -> EncodedSamples:
    """A cluster at the edge of the data, around an outward-moved sample, under one label that is not that sample's."""
    count = len(rows)
    model = torch.randint(0, len(samples.labels), (1,), generator=generator)
    if samples.are_images:
        blend = 0.5 * samples.inputs[0][model].float() + 0.5 * _smooth(samples, 1, generator)
        found = [_pixels(blend.expand(count, -1, -1, -1), generator)]
    elif samples.are_texts:
        found = [_varied(samples, samples.inputs[0][model[0]], count, _MUCH_VARIED, generator)]
    else:
        mean, deviation, _ = _spread(samples.inputs[0])
        centre = mean + _EDGE * (samples.inputs[0][model] - mean)
        numbers = centre + _LOOSE * deviation * torch.randn(count, len(mean), generator=generator)
        found = [numbers, *(part[model].expand(count, -1) for part in samples.inputs[1:])]
    label = samples.labels[model] + torch.randint(1, samples.classes, (1,), generator=generator)
    return samples.with_rows(rows, found).labelled(rows, label.expand(count))


def shuffled(samples: EncodedSamples, rows: Rows, _rest: Rows, generator: torch.Generator) -> EncodedSamples:
    """Ordinary values in combinations that do not occur; the labels stay."""
    if samples.are_images:
        return samples.with_rows(rows, [_tiles_moved(samples.inputs[0][rows], generator)])
    if samples.are_texts:
        return samples.with_rows(rows, [_words_of_others(samples, rows, generator)])
    return samples.with_rows(rows, [_mixed(part, len(rows), generator) for part in samples.inputs])


def extreme(samples: EncodedSamples, rows: Rows, _rest: Rows, generator: torch.Generator) -> EncodedSamples:
    """A quarter of the columns 6 to 10 deviations away, an image inverted or glaring, a text of its first token alone.

    The labels stay.
    """
    first = samples.inputs[0][rows]
    if samples.are_images:
        inverted = torch.rand(len(rows), 1, 1, 1, generator=generator) < 0.5
        pixels = first.float()
        return samples.with_rows(rows, [torch.where(inverted, 255 - pixels, (3 * pixels - 128).clamp(0, 255))])
    if samples.are_texts:
        return samples.with_rows(rows, [first[:, :1] * (first > 0)])
    mean, deviation, _ = _spread(samples.inputs[0])
    width = len(mean)
    if width == 0:
        return shuffled(samples, rows, rows, generator)
    many = max(1, width // 4)
    columns = torch.rand(len(rows), width, generator=generator).argsort(1)[:, :many]
    low, high = _OVERDONE
    away = low + (high - low) * torch.rand(len(rows), many, generator=generator)
    away = away * (torch.randint(0, 2, (len(rows), many), generator=generator) * 2 - 1)
    values = first.scatter(1, columns, mean[columns] + away * deviation[columns])
    return samples.with_rows(rows, [values, *(part[rows] for part in samples.inputs[1:])])


def _spread(x: Float[Tensor, "n d"]) -> tuple[Float[Tensor, " d"], Float[Tensor, " d"], Float[Tensor, ""]]:
    mean = x.mean(0)
    squares = (x - mean).square()
    return mean, squares.mean(0).sqrt().clamp(min=1e-6), squares.sum(1).mean().sqrt()


def _direction(count: int, width: int, generator: torch.Generator) -> Float[Tensor, "k d"]:
    return torch.nn.functional.normalize(torch.randn(count, width, generator=generator))


def _one_code(codes: Int[Tensor, "n c"], count: int, generator: torch.Generator) -> Int[Tensor, "k c"]:
    return codes[torch.randint(0, len(codes), (1,), generator=generator)].expand(count, -1)


def _mixed(part: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Each column's values from rows of its own choice."""
    chosen = torch.randint(0, len(part), (count, part.shape[1]), generator=generator)
    return part.gather(0, chosen)


def _gibberish(samples: EncodedSamples, rows: Rows, generator: torch.Generator) -> Int[Tensor, "k l"]:
    """Texts as long as these rows', of any tokens: rare ones are as likely as common ones."""
    (tokens,) = samples.inputs
    drawn = torch.randint(2, max(int(tokens.max()) + 1, 3), (len(rows), tokens.shape[1]), generator=generator)
    return drawn * (tokens[rows] > 0)


def _words_of_others(samples: EncodedSamples, rows: Rows, generator: torch.Generator) -> Int[Tensor, "k l"]:
    """Texts as long as these rows', each token from a text of its own choice, the common ones as often as ever."""
    return _mixed_words(samples, len(rows), generator) * (samples.inputs[0][rows] > 0)


def _varied(
    samples: EncodedSamples, text: Int[Tensor, " l"], count: int, share: float, generator: torch.Generator
) -> Int[Tensor, "k l"]:
    """Copies of one text, in each of which some tokens are another text's."""
    copies = text.expand(count, -1)
    other = torch.rand(copies.shape, generator=generator) < share
    return torch.where(other & (copies > 0), _mixed_words(samples, count, generator), copies)


def _mixed_words(samples: EncodedSamples, count: int, generator: torch.Generator) -> Int[Tensor, "k l"]:
    there = samples.inputs[0][samples.inputs[0] > 0]
    return there[torch.randint(0, len(there), (count, samples.inputs[0].shape[1]), generator=generator)]


def _smooth(samples: EncodedSamples, count: int, generator: torch.Generator) -> Float[Tensor, "k c h w"]:
    """Random fields without detail, stretched to all grey levels."""
    _, channels, height, width = samples.inputs[0].shape
    coarse = torch.randn(count, channels, 4, 4, generator=generator)
    field = interpolate(coarse, size=(height, width), mode="bilinear")
    low, high = field.amin((1, 2, 3), keepdim=True), field.amax((1, 2, 3), keepdim=True)
    return (field - low) / (high - low) * 255


def _pixels(field: Float[Tensor, "k c h w"], generator: torch.Generator) -> Float[Tensor, "k c h w"]:
    return (field + _GRAINS * torch.randn(field.shape, generator=generator)).clamp(0, 255)


def _tiles_moved(pixels: Tensor, generator: torch.Generator) -> Tensor:
    height, width = pixels.shape[2] // _TILES, pixels.shape[3] // _TILES
    moved = pixels.clone()
    if height == 0 or width == 0:
        return moved
    for image, source in zip(moved, pixels, strict=True):
        for place, origin in enumerate(torch.randperm(_TILES * _TILES, generator=generator).tolist()):
            (row, column), (from_row, from_column) = divmod(place, _TILES), divmod(origin, _TILES)
            image[:, row * height : (row + 1) * height, column * width : (column + 1) * width] = source[
                :, from_row * height : (from_row + 1) * height, from_column * width : (from_column + 1) * width
            ]
    return moved
