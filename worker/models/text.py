"""Networks for text. Each takes `(tokens int64 [n, l],)`, where 0 pads."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn.functional import pad, relu, scaled_dot_product_attention

from service.domain.models.text import TextCNNParams, TextTransformerParams
from worker.data.shape import InputShape

_KERNELS = (2, 3, 4)
_HIDDEN = 128


def _vocabulary(shape: InputShape) -> tuple[int, int]:
    if shape.text is None:
        raise ValueError("a text model needs text data")
    return shape.text


class TextCNN(nn.Module):
    """Convolutions of several widths over word vectors, and the maximum of each over positions (arXiv:1408.5882)."""

    def __init__(self, params: TextCNNParams, shape: InputShape, classes: int) -> None:
        super().__init__()
        vocabulary, _ = _vocabulary(shape)
        self.words = nn.Embedding(vocabulary, params.width, padding_idx=0)
        # Scaled so that a sum over a few words is about 1: the usual normal vectors make the first steps too large.
        nn.init.normal_(self.words.weight, std=params.width**-0.5)
        with torch.no_grad():
            self.words.weight[0].zero_()
        self.convolutions = nn.ModuleList(nn.Conv1d(params.width, params.channels, kernel) for kernel in _KERNELS)
        self.dropout = nn.Dropout(params.dropout)
        self.hidden = nn.Linear(params.channels * len(_KERNELS), _HIDDEN)
        self.head = nn.Linear(_HIDDEN, classes)

    def forward(self, tokens: Int[Tensor, "n l"]) -> Float[Tensor, "n o"]:
        """Logits."""
        words = self.words(tokens).transpose(1, 2)
        found = []
        for kernel, convolution in zip(_KERNELS, self.convolutions, strict=True):
            answers = relu(convolution(pad(words, (0, kernel - 1))))
            # Positions of padding are masked, so that the length that texts are padded to changes nothing.
            found.append(answers.masked_fill((tokens == 0)[:, None], 0.0).amax(2))
        logits: Tensor = self.head(relu(self.hidden(self.dropout(torch.cat(found, 1)))))
        return logits


class TransformerBlock(nn.Module):
    """A pre-norm Transformer block: self-attention and a two-layer network, each with a residual (arXiv:2002.04745)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.queries, self.keys, self.values = (nn.Linear(width, width) for _ in range(3))
        self.mixed = nn.Linear(width, width)
        self.wide, self.narrow = nn.Linear(width, 2 * width), nn.Linear(2 * width, width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, rows: Float[Tensor, "n l w"], there: Bool[Tensor, "n l"]) -> Float[Tensor, "n l w"]:
        """Rows of the same shape."""
        normal = self.first(rows)
        q, k, v = (self._by_head(layer(normal)) for layer in (self.queries, self.keys, self.values))
        attended = scaled_dot_product_attention(q, k, v, attn_mask=there[:, None, None, :])
        rows = rows + self.dropout(self.mixed(attended.transpose(1, 2).flatten(2)))
        out: Tensor = rows + self.dropout(self.narrow(relu(self.wide(self.second(rows)))))
        return out

    def _by_head(self, rows: Float[Tensor, "n l w"]) -> Float[Tensor, "n h l d"]:
        return rows.view(*rows.shape[:2], self.heads, -1).transpose(1, 2)


class TextTransformer(nn.Module):
    """Word and position embeddings, blocks of attention, the mean over words (arXiv:1706.03762)."""

    def __init__(self, params: TextTransformerParams, shape: InputShape, classes: int) -> None:
        super().__init__()
        vocabulary, length = _vocabulary(shape)
        self.words = nn.Embedding(vocabulary, params.width, padding_idx=0)
        self.places = nn.Embedding(length, params.width)
        for table in (self.words, self.places):
            nn.init.normal_(table.weight, std=params.width**-0.5)
        self.blocks = nn.ModuleList(
            TransformerBlock(params.width, params.heads, params.dropout) for _ in range(params.blocks)
        )
        self.normal = nn.LayerNorm(params.width)
        self.hidden = nn.Linear(params.width, _HIDDEN)
        self.head = nn.Linear(_HIDDEN, classes)

    def forward(self, tokens: Int[Tensor, "n l"]) -> Float[Tensor, "n o"]:
        """Logits."""
        there = tokens != 0
        rows = self.words(tokens) + self.places(torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens))
        for block in self.blocks:
            rows = block(rows, there)
        rows = self.normal(rows) * there[:, :, None]
        mean = rows.sum(1) / there.sum(1, keepdim=True)
        logits: Tensor = self.head(relu(self.hidden(mean)))
        return logits


def text_cnn(params: TextCNNParams, shape: InputShape, classes: int) -> nn.Module:
    """A convolutional network on phrases of two to four tokens."""
    return TextCNN(params, shape, classes)


def text_transformer(params: TextTransformerParams, shape: InputShape, classes: int) -> nn.Module:
    """A small Transformer."""
    return TextTransformer(params, shape, classes)


BUILDERS = {"text_cnn": text_cnn, "text_transformer": text_transformer}
