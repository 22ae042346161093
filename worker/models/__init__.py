"""The networks, one file per family. Names, parameters and training defaults are in service.domain.models."""

from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from service.domain.models import MODELS
from service.domain.specs import ModelRequest
from worker.data.shape import InputShape
from worker.models.fine_tuned import probe
from worker.models.image import resnet20, small_cnn
from worker.models.probes import linear_probe, mlp_probe
from worker.models.resnet18 import resnet18
from worker.models.tabm import tabm
from worker.models.tabular import ft_transformer, logistic_regression, mlp, tabular_resnet
from worker.models.text import text_cnn, text_transformer
from worker.models.uploaded_weights import architecture

BUILDERS: dict[str, Callable[[Any, InputShape, int], nn.Module]] = {
    "logistic_regression": logistic_regression,
    "mlp": mlp,
    "tabular_resnet": tabular_resnet,
    "tabm": tabm,
    "ft_transformer": ft_transformer,
    "small_cnn": small_cnn,
    "resnet20": resnet20,
    "resnet18": resnet18,
    "pretrained_image": probe,
    "linear_probe": linear_probe,
    "mlp_probe": mlp_probe,
    "text_cnn": text_cnn,
    "text_transformer": text_transformer,
    "pretrained_text": probe,
    "exported": probe,
}


def build(request: ModelRequest, shape: InputShape, classes: int, seed: int) -> nn.Module:
    """An untrained network, initialised from `seed`; the global random state is left as it was.

    For uploaded weights this is the network that they are for; `load_state` loads them.
    """
    request = architecture(request)
    params = MODELS[request.name].params.model_validate(request.params)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return BUILDERS[request.name](params, shape, classes)


def head(model: nn.Module) -> nn.Linear:
    """The Linear layer that yields the logits: the model's `head`, else the last Linear it has."""
    named = getattr(model, "head", None)
    if isinstance(named, nn.Linear):
        return named
    return [module for module in model.modules() if isinstance(module, nn.Linear)][-1]
