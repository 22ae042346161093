"""Models for embeddings."""

from service.domain.models.entry import MLPParams, Model, NoParams, TrainingDefaults

EMBEDDING = (
    Model(
        name="linear_probe",
        title="Linear probe",
        modality="embedding",
        params=NoParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=64),
        cost="low",
    ),
    Model(
        name="mlp_probe",
        title="MLP probe",
        modality="embedding",
        params=MLPParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=64),
        cost="low",
    ),
)
