"""The model that `auto` stands for, by modality and size of the dataset."""

from typing import Any

from service.domain.dataset import DatasetInfo, Modality
from service.domain.models import AUTO

# Of training rows. With 300, embedded numbers found fewer planted mislabels than plain ones on most of nine tables, with
# 1,000 on half of them, with 5,000 and more fewer on hardly any.
_EMBEDS = 2_000

# Of these, how fast training may go is tried out in each job; for others nobody has measured that it pays.
SEARCHED: tuple[Modality, ...] = ("tabular",)


def default_model(dataset: DatasetInfo) -> tuple[str, dict[str, Any]]:
    """Name of the model for a dataset, and the parameters that differ from its defaults."""
    name = AUTO[dataset.modality]
    if dataset.modality == "tabular" and dataset.splits.get("train", dataset.rows) >= _EMBEDS:
        return name, {"numeric_embeddings": "piecewise_linear"}
    return name, {}
