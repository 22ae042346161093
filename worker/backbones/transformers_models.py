"""Networks of `transformers`, split into stem, blocks and tail; one table for images, one for texts.

An architecture that is in no table is used as a whole: all of it frozen or all of it trained.
"""

from collections.abc import Callable
from typing import Any

import structlog
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor, nn

from worker.backbones.backbone_files import BackboneFiles, invalid_backbone
from worker.backbones.backbone_parts import BackboneParts, FirstToken, PooledText, SpatialMean
from worker.backbones.image_reader import ImageReader
from worker.backbones.text_reader import TextReader, TokenEmbeddings

log = structlog.get_logger()

Cut = tuple[nn.Module, list[nn.Module], nn.Module]


def image_parts(source: BackboneFiles, pictures: ImageReader) -> BackboneParts:
    """Load a network for images, in parts. Raises Invalid for one that cannot be loaded."""
    model, family = _loaded(source)
    if family in _IMAGES:
        stem, blocks, tail = _IMAGES[family](model)
        return BackboneParts(family, nn.Sequential(pictures.normalise, stem), tuple(blocks), tail)
    return BackboneParts(family, nn.Sequential(pictures.normalise, _Whole(model)), (), nn.Identity())


def text_parts(source: BackboneFiles, words: TextReader, pooling: Any) -> BackboneParts:
    """Load an encoder of texts, in parts. Raises Invalid for one that cannot be loaded."""
    model, family = _loaded(source)
    if family not in _TEXTS:
        return BackboneParts(family, _WholeText(words, model), (), PooledText(pooling))
    embeddings, blocks = _TEXTS[family](model)
    return BackboneParts(
        family, TokenEmbeddings(words, embeddings), tuple(map(_Attending, blocks)), PooledText(pooling)
    )


def _loaded(source: BackboneFiles) -> tuple[Any, str]:
    from transformers import AutoModel, logging

    # transformers leaves types out of these.
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # transformers'
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # transformers'
    try:
        model, told = AutoModel.from_pretrained(
            source.folder,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            dtype=torch.float32,
        )
    except (ValueError, OSError, KeyError, RuntimeError, ImportError) as error:
        raise invalid_backbone(f"{source.name} cannot be loaded: {error}") from error
    # Missing weights would stay random. Poolers are not used.
    lacking = sorted(key for key in told["missing_keys"] if "pooler" not in key)
    if lacking:
        raise invalid_backbone(f"the weights of {source.name} lack {', '.join(lacking[:5])} ({len(lacking)} in all)")
    family = str(model.config.model_type)
    if getattr(model.config, "is_encoder_decoder", False) or getattr(model.config, "is_decoder", False):
        raise invalid_backbone(f"{source.name} is a {family}, which writes text; an encoder is needed")
    return model, family


def _resnet(model: Any) -> Cut:
    return model.embedder, [layer for stage in model.encoder.stages for layer in stage.layers], SpatialMean()


def _convnext(model: Any) -> Cut:
    blocks: list[nn.Module] = []
    for stage in model.encoder.stages:
        first, *others = stage.layers
        blocks += [nn.Sequential(*stage.downsampling_layer, first), *others]
    return model.embeddings, blocks, nn.Sequential(SpatialMean(), model.layernorm)


def _vit(model: Any) -> Cut:
    return _Stretched(model.embeddings), list(model.layers), nn.Sequential(model.layernorm, FirstToken())


def _dinov2(model: Any) -> Cut:
    return model.embeddings, list(model.encoder.layer), nn.Sequential(model.layernorm, FirstToken(beside=True))


def _mobilenet_v2(model: Any) -> Cut:
    return model.conv_stem, list(model.layer), nn.Sequential(model.conv_1x1, SpatialMean())


_IMAGES: dict[str, Callable[[Any], Cut]] = {
    "resnet": _resnet,
    "convnext": _convnext,
    "vit": _vit,
    "dinov2": _dinov2,
    "mobilenet_v2": _mobilenet_v2,
}

_TEXTS: dict[str, Callable[[Any], tuple[nn.Module, list[nn.Module]]]] = {
    "bert": lambda model: (model.embeddings, list(model.encoder.layer)),
    "roberta": lambda model: (model.embeddings, list(model.encoder.layer)),
    "xlm-roberta": lambda model: (model.embeddings, list(model.encoder.layer)),
    "distilbert": lambda model: (model.embeddings, list(model.transformer.layer)),
}


class _Stretched(nn.Module):
    """Embeddings whose positions are interpolated for images of another size than in training."""

    def __init__(self, embeddings: nn.Module) -> None:
        super().__init__()
        self.embeddings = embeddings

    def forward(self, pixels: Float[Tensor, "n c h w"]) -> Float[Tensor, "n l d"]:
        """Embedded patches."""
        rows: Tensor = self.embeddings(pixels, interpolate_pos_encoding=True)
        return rows


class _Attending(nn.Module):
    """A block that attends to the tokens that are not padding."""

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.block = block

    def forward(self, x: Float[Tensor, "n l w"], there: Bool[Tensor, "n l"]) -> Float[Tensor, "n l w"]:
        """Rows of the same shape."""
        rows: Tensor = self.block(x, there[:, None, None, :])
        return rows


class _Whole(nn.Module):
    """An image network of any architecture: its pooled output, else the mean over places."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: Float[Tensor, "n c h w"] | UInt8[Tensor, "n c h w"]) -> Float[Tensor, "n d"]:
        """One row per image."""
        found = self.model(pixels)
        pooled: Tensor | None = getattr(found, "pooler_output", None)
        if pooled is not None:
            return pooled.flatten(1)
        last: Tensor = found.last_hidden_state
        return last.mean((2, 3)) if last.dim() == 4 else last.mean(1)


class _WholeText(TokenEmbeddings):
    """An encoder of any architecture."""

    def forward(self, tokens: Int[Tensor, "n l"]) -> tuple[Float[Tensor, "n m w"], Bool[Tensor, "n m"]]:
        """Outputs for each token, and a mask of those that are not padding."""
        ids, there = self.add_special_tokens(tokens)
        return self.embeddings(input_ids=ids, attention_mask=there.long()).last_hidden_state, there
