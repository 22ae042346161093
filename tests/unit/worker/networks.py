"""Tiny networks with random weights, saved as their makers publish them."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import (
    BertConfig,
    BertModel,
    ConvNextConfig,
    ConvNextModel,
    Dinov2Config,
    Dinov2Model,
    DistilBertConfig,
    DistilBertModel,
    MobileNetV2Config,
    MobileNetV2Model,
    ResNetConfig,
    ResNetModel,
    RobertaConfig,
    RobertaModel,
    SwinConfig,
    SwinModel,
    ViTConfig,
    ViTModel,
)

SIDE = 32
WORDS = [
    "how",
    "what",
    "who",
    "is",
    "a",
    "the",
    "film",
    "of",
    "city",
    "in",
    "red",
    "blue",
    "cat",
    "dog",
    "eel",
    "does",
    "run",
    "swim",
    "far",
    "near",
    "?",
]
_SMALL: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2}
_SMALL_TEXT: dict[str, Any] = {
    **_SMALL,
    "intermediate_size": 24,
    "vocab_size": len(WORDS) + 5,
    "max_position_embeddings": 40,
}

IMAGES = {
    "resnet": lambda: ResNetModel(
        ResNetConfig(embedding_size=8, hidden_sizes=[8, 16], depths=[1, 2], layer_type="basic")
    ),
    "convnext": lambda: ConvNextModel(ConvNextConfig(hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 2, 1])),
    "vit": lambda: ViTModel(ViTConfig(**_SMALL, intermediate_size=24, image_size=SIDE, patch_size=8)),
    "dinov2": lambda: Dinov2Model(Dinov2Config(**_SMALL, mlp_ratio=2, image_size=SIDE, patch_size=8)),
    "mobilenet_v2": lambda: MobileNetV2Model(MobileNetV2Config(depth_multiplier=0.25, image_size=SIDE)),
}
# An architecture of no table: it is used as a whole.
OTHER = {
    "swin": lambda: SwinModel(
        SwinConfig(image_size=SIDE, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 2], window_size=4)
    )
}
TEXTS = {
    "bert": lambda: BertModel(BertConfig(**_SMALL_TEXT)),
    "roberta": lambda: RobertaModel(RobertaConfig(**_SMALL_TEXT, pad_token_id=0)),
    "distilbert": lambda: DistilBertModel(
        DistilBertConfig(
            dim=16, n_layers=3, n_heads=2, hidden_dim=24, vocab_size=len(WORDS) + 5, max_position_embeddings=40
        )
    ),
}


def image_network(family: str, folder: Path) -> Any:
    """Save a network and how its images are read; give the network."""
    model = _saved({**IMAGES, **OTHER}[family], folder)
    reading = {
        "image_processor_type": "ViTImageProcessor",
        "do_resize": True,
        "size": {"height": SIDE, "width": SIDE},
        "resample": 2,
        "do_rescale": True,
        "rescale_factor": 1 / 255,
        "do_normalize": True,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.5, 0.25, 0.2],
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(reading))
    return model


def text_network(family: str, folder: Path) -> Any:
    """Save an encoder and its tokenizer; give the encoder."""
    model = _saved(TEXTS[family], folder)
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    tokenizer = Tokenizer(models.WordLevel({word: n for n, word in enumerate([*marks, *WORDS])}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.add_special_tokens(marks)
    tokenizer.enable_truncation(6)  # as some are saved; the job's own length counts
    tokenizer.save(str(folder / "tokenizer.json"))
    return model


def _saved(make: Any, folder: Path) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = make().eval()
        # Statistics of zero and one would hide whether they are used.
        for layer in model.modules():
            if isinstance(layer, torch.nn.BatchNorm2d):
                layer.running_mean = torch.randn(layer.num_features)
                layer.running_var = torch.rand(layer.num_features) + 0.5
    model.save_pretrained(folder)
    return model
