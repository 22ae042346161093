"""A labelled dataset: what a client says of it, what was found in it, and its canonical file.

The canonical file is one Parquet file, whatever was uploaded. Its columns never collide with the client's,
because feature columns are named by position and their real names live in the file's metadata:

========== ===================== =========================================================================
`index`    int64                 position in the upload, 0-based, counting rows that were skipped
`id`       string                unique; the client's, else `row-<index>`
`label`    int32                 position in `classes`
`split`    string                "train" where the upload names none
`f0`…      double | bool |       tabular features in order; missing, NaN and infinite values are null
           string | timestamp
`embedding` fixed list of float  embedding datasets
`image`    binary                image datasets: the encoded image file
`text`     string                text datasets
names of   fixed list of float  recorded trainings: `logits_1`, `activations_1`, … as the upload calls them;
arrays                           predictions: `pred_probs`, of which rows sum to 1, and maybe `features`
========== ===================== =========================================================================

The schema metadata holds, under `METADATA_KEY`, the JSON of a `CanonicalHeader`. The file's own metadata, which is written
last, holds under `WHITE_KEY` what is white in greyscale images of more than 8 bits a pixel, where there are some.
"""

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

METADATA_KEY = b"usual-suspects"
WHITE_KEY = b"usual-suspects-white"

Modality = Literal["tabular", "image", "text", "embedding", "trace", "predictions"]
AnnotationPolicy = Literal["latest", "majority", "ground_truth", "all"]
FeatureKind = Literal["numeric", "categorical", "boolean", "datetime", "embedding", "image", "text"]


class Frozen(BaseModel):
    """A value: unknown fields are refused, change makes a new one."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DatasetSpec(Frozen):
    """What a client may say of an upload; each field left out is inferred."""

    name: str | None = Field(None, max_length=200, description="Shown in lists; the file's name when left out.")
    modality: Literal["auto"] | Modality = Field("auto", description="What one sample is.")
    label: str | None = Field(None, description="The column that holds the class.")
    id: str | None = Field(None, description="The column that names a sample, unique.")
    split: str | None = Field(None, description="The column that says train, validation or test.")
    features: list[str] | None = Field(None, description="The columns to learn from; all others when left out.")
    exclude: list[str] = Field(default_factory=list, description="Columns not to learn from.")
    annotation_policy: AnnotationPolicy = Field(
        "majority",
        description="Of a labelling tool's export, which annotation of a sample counts: what most say, the latest, those marked "
        "as ground truth where they agree, or all of them, each as a sample of its own. A tie is skipped.",
    )


class Feature(Frozen):
    """One input column: its real name and how it is read."""

    name: str
    kind: FeatureKind
    column: str = Field(description="Its name in the canonical file.", exclude=True)


class ClientWarning(Frozen):
    """Something a client should know but need not act on; `code` is stable."""

    code: str
    detail: str


class Recording(Frozen):
    """What was recorded of a training that somebody else ran."""

    epochs: list[int] = Field(description="The checkpoints that were recorded, in order.")
    learning_rates: list[float] = Field(description="Of each of them.")
    width: int = Field(description="Numbers that enter the last layer.")
    shared: bool = Field(description="Whether what enters the last layer is the same at every checkpoint, kept once.")


class CanonicalHeader(BaseModel):
    """What the canonical file says of itself."""

    model_config = ConfigDict(frozen=True)

    modality: Modality
    classes: list[str]
    features: list[dict[str, str]] = Field(description="name, kind and column of each input column, in order")
    recording: Recording | None = Field(None, description="Of a recorded training.")


class SkippedRow(Frozen):
    """A row or file of the upload that is not in the dataset, and why."""

    index: int = Field(description="Position in the upload, 0-based.")
    where: str = Field(description='Line of the file or name in the archive: "line 17", "cat/003.jpg".')
    reason: str


class Inferred(Frozen):
    """What was decided because the client did not say, in the words of DatasetSpec."""

    label: str | None = None
    id: str | None = None
    split: str | None = None
    modality: Modality | None = None
    format: str = Field(description='How the file was read: "csv, delimiter ;, encoding utf-16".')


Applied = Literal["reviews", "suggestions"]


class VersionRequest(Frozen):
    """What POST /datasets/{id}/versions takes."""

    job: str = Field(description="Id of a completed job over the dataset.")
    apply: Applied = Field(description="reviews: what people decided; suggestions: what the job suggests, too.")


class Lineage(Frozen):
    """What a corrected dataset was made of, and how."""

    parent: str = Field(description="Id of the dataset that it corrects.")
    job: str = Field(description="Id of the job whose reviews or suggestions were applied.")
    applied: Applied
    relabelled: int = Field(description="How many samples have another label than in the parent.")
    removed: int = Field(description="How many samples of the parent are not in it.")
    verified: int = Field(description="How many of its samples people have verified; see GET /datasets/{id}/verified.")


class DatasetInfo(Frozen):
    """A dataset as the API shows it."""

    id: str
    name: str
    modality: Modality
    rows: int
    classes: list[str]
    class_counts: dict[str, int]
    features: list[Feature]
    splits: dict[str, int]
    digest: str
    skipped_rows: int
    inferred: Inferred
    warnings: list[ClientWarning]
    created_at: datetime
    lineage: Lineage | None = Field(None, description="null for an upload.")
    recording: Recording | None = Field(None, description="Of a recorded training; null for other data.")

    @property
    def is_bare(self) -> bool:
        """Whether it is predictions alone, of which nothing says what a sample looks like."""
        return self.modality == "predictions" and all(one.name != "features" for one in self.features)
