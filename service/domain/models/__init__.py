"""The table of models: what may be asked for, with which parameters and training defaults.

One file per kind of data. The networks themselves are in worker.models; the service knows them by this table alone.
"""

from service.domain.dataset import Modality
from service.domain.models.embedding import EMBEDDING
from service.domain.models.entry import Model, TrainingDefaults
from service.domain.models.image import IMAGE
from service.domain.models.tabular import TABULAR
from service.domain.models.text import TEXT
from service.domain.models.uploaded import UPLOADED

__all__ = ["AUTO", "FROM_SCRATCH", "MODELS", "Model", "TrainingDefaults"]

MODELS: dict[str, Model] = {model.name: model for model in (*TABULAR, *IMAGE, *EMBEDDING, *TEXT, *UPLOADED)}

# The model that `auto` stands for.
AUTO: dict[Modality, str] = {
    "tabular": "mlp",
    "image": "pretrained_image",
    "embedding": "mlp_probe",
    "text": "pretrained_text",
    "trace": "trace",
    "predictions": "predictions",
}
# And where no pretrained network is at hand.
FROM_SCRATCH: dict[Modality, str] = {"image": "small_cnn", "text": "text_cnn"}
