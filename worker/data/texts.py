"""Texts to rows of token numbers; the tokenizer is trained on the training texts alone."""

from collections.abc import Iterable, Iterator

import torch
from jaxtyping import Int
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from torch import Tensor

PADDING, UNKNOWN = 0, 1  # token numbers: no token, and one that the training texts lack
_PADDING, _UNKNOWN = "[PAD]", "[UNK]"
_TOGETHER = 1_024  # texts encoded in one call
_LONG = 0.99  # of the training texts are read whole, if `length` allows it


def train_tokenizer(texts: Iterable[str], vocabulary: int) -> Tokenizer:
    """Train byte-pair encoding (arXiv:1508.07909) of case-folded words, `vocabulary` tokens at most.

    Equal texts in equal order give an equal tokenizer.
    """
    tokenizer = Tokenizer(models.BPE(unk_token=_UNKNOWN))
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary, min_frequency=2, special_tokens=[_PADDING, _UNKNOWN], show_progress=False
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def usual_length(tokenizer: Tokenizer, texts: Iterable[str], longest: int) -> int:
    """Length in tokens that 99 % of the texts do not exceed, from 1 to `longest`."""
    counts = torch.tensor([float(len(one)) for one in _encoded(tokenizer, texts)])
    return max(1, min(longest, round(float(counts.quantile(_LONG)))))


def tokens(tokenizer: Tokenizer, texts: Iterable[str], length: int) -> Int[Tensor, "n l"]:
    """Token numbers, cut or padded to `length`; a text without any token is one unknown."""
    rows = []
    for found in _encoded(tokenizer, texts):
        row = found[:length] or [UNKNOWN]
        rows.append(row + [PADDING] * (length - len(row)))
    return torch.tensor(rows, dtype=torch.int64).reshape(-1, length)


def _encoded(tokenizer: Tokenizer, texts: Iterable[str]) -> Iterator[list[int]]:
    part: list[str] = []
    for text in texts:
        part.append(text)
        if len(part) == _TOGETHER:
            yield from (one.ids for one in tokenizer.encode_batch_fast(part, add_special_tokens=False))
            part = []
    yield from (one.ids for one in tokenizer.encode_batch_fast(part, add_special_tokens=False))
