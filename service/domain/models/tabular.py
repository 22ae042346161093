"""Models for tables."""

from typing import Literal

from pydantic import Field

from service.domain.dataset import Frozen
from service.domain.models.entry import MLPParams, Model, NoParams, TrainingDefaults


class NumericEmbeddings(Frozen):
    """Parameters of the embedding of numeric columns (arXiv:2203.05556)."""

    numeric_embeddings: Literal["none", "piecewise_linear", "periodic"] = Field(
        "none",
        description="none: each number as it is. piecewise_linear: a learnt function of each column, linear between "
        "quantiles of the training part. periodic: learnt sines and cosines of each column.",
    )
    embedding_width: int = Field(16, ge=1, le=256, description="Numbers that each numeric column becomes, if embedded.")


class TreesBeside(Frozen):
    """Whether trees answer beside a network."""

    trees: bool = Field(
        False,
        description="Grow boosted trees and a forest beside the network. What they predict of a sample without having learnt from "
        "it counts in `mislabeled`, `confusion_margin` and the number of wrong labels. Left out where samples are in groups.",
    )


class TabularMLPParams(MLPParams, NumericEmbeddings, TreesBeside):
    """Parameters of a multi-layer perceptron for tables."""


class TabularResNetParams(NumericEmbeddings, TreesBeside):
    """Parameters of the tabular ResNet (arXiv:2106.11959)."""

    width: int = Field(128, ge=8, le=4096, description="Width of the residual stream.")
    blocks: int = Field(2, ge=1, le=16)
    hidden_multiplier: float = Field(2.0, ge=0.125, le=8, description="Width inside a block over `width`.")
    dropout: float = Field(0.1, ge=0, lt=1)


class TabMParams(NumericEmbeddings, TreesBeside):
    """Parameters of TabM (arXiv:2410.24210)."""

    members: int = Field(16, ge=2, le=128, description="Networks that share most of their weights and answer together.")
    sharing: Literal["batch", "mini"] = Field(
        "batch",
        description="What each member has of its own: scales and biases at every layer, or one scaling of the input.",
    )
    width: int = Field(128, ge=8, le=4096, description="Units of each hidden layer.")
    blocks: int = Field(2, ge=1, le=16, description="Number of hidden layers.")
    dropout: float = Field(0.1, ge=0, lt=1)


class FTTransformerParams(TreesBeside):
    """Parameters of the FT-Transformer (arXiv:2106.11959)."""

    width: int = Field(64, ge=8, le=1024, multiple_of=8, description="Size of a token; a multiple of 8.")
    blocks: int = Field(2, ge=1, le=12)
    dropout: float = Field(0.1, ge=0, lt=1)


class BoostedTreesParams(Frozen):
    """Parameters of boosted trees."""

    leaves: int = Field(31, ge=2, le=255, description="Leaves of a tree, at most.")
    smallest_leaf: int = Field(20, ge=1, le=100_000, description="Training samples of a leaf, at least.")
    penalty: float = Field(1.0, gt=0, le=1e6, description="Added to the weight of each leaf (L2).")


TABULAR = (
    Model(
        name="boosted_trees",
        title="Boosted trees",
        modality="tabular",
        params=BoostedTreesParams,
        training=TrainingDefaults(learning_rate=0.1, epochs=10),
        trees=True,
        cost="low",
    ),
    Model(
        name="logistic_regression",
        title="Logistic regression",
        modality="tabular",
        params=NoParams,
        training=TrainingDefaults(learning_rate=0.05),
        cost="low",
    ),
    Model(
        name="mlp",
        title="Multi-layer perceptron",
        modality="tabular",
        params=TabularMLPParams,
        training=TrainingDefaults(learning_rate=0.02, batch_size=64),
        cost="low",
    ),
    Model(
        name="tabular_resnet",
        title="Tabular ResNet",
        modality="tabular",
        params=TabularResNetParams,
        training=TrainingDefaults(learning_rate=0.001, optimizer="adamw", weight_decay=1e-5),
        cost="medium",
    ),
    Model(
        name="tabm",
        title="TabM",
        modality="tabular",
        params=TabMParams,
        training=TrainingDefaults(learning_rate=0.002, optimizer="adamw", weight_decay=1e-5),
        cost="medium",
    ),
    Model(
        name="ft_transformer",
        title="FT-Transformer",
        modality="tabular",
        params=FTTransformerParams,
        training=TrainingDefaults(learning_rate=0.001, optimizer="adamw", weight_decay=1e-5),
        cost="high",
    ),
)
