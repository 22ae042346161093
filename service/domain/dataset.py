"""A labelled dataset: the client's description, what was found in it, and its canonical file.

The canonical file is one Parquet file, whatever was uploaded. Its columns never collide with the client's,
because feature columns are named by position and their real names live in the file's metadata:

========== ===================== =========================================================================
`index`    int64                 position in the upload, 0-based, counting rows that were skipped
`id`       string                unique; the client's, else `row-<index>`
`label`    int32                 position in `classes`
`split`    string                "train" where the upload names none
`group`    string                where the client names a group column: samples of one group do not vouch for each other
`f0`…      double | bool |       tabular features in order; missing, NaN and infinite values are null
           string | timestamp |
           time64
`embedding` fixed list of float  embedding datasets
`image`    binary                image datasets: the encoded image file
`text`     string                text datasets
names of   fixed list of float  recorded trainings: `logits_1`, `activations_1`, … as the upload calls them;
arrays                           predictions: `pred_probs`, of which rows sum to 1, and maybe `features`
========== ===================== =========================================================================

The schema metadata holds, under `METADATA_KEY`, the JSON of a `CanonicalHeader`. The file's own metadata, which is written
last, holds under `WHITE_KEY` the brightest pixel value of greyscale images of more than 8 bits, where there are some.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from service.domain.names import Name
from service.domain.warning_titles import warning_title

METADATA_KEY = b"usual-suspects"
WHITE_KEY = b"usual-suspects-white"

Modality = Literal["tabular", "image", "text", "embedding", "trace", "predictions"]
AnnotationPolicy = Literal["latest", "majority", "ground_truth", "all"]
FeatureKind = Literal["numeric", "categorical", "boolean", "datetime", "time", "embedding", "image", "text"]
ColumnRole = Literal["label", "id", "split", "group", "annotator", "path", "input", "left_out"]


class Frozen(BaseModel):
    """An immutable value that refuses unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def each_once(names: list[str]) -> list[str]:
    """Names without repetitions, in their order."""
    return list(dict.fromkeys(names))


# A list that names things, each of which counts once.
Names = Annotated[list[str], AfterValidator(each_once)]
_MOST_COLUMNS, _MOST_TEXTS = 20_000, 1_000


class DatasetSpec(Frozen):
    """Description of an upload by the client; each field that is left out is inferred."""

    name: Name | None = Field(None, max_length=200, description="Name in lists; the file's name when left out.")
    modality: Literal["auto"] | Modality = Field("auto", description="Kind of one sample.")
    label: str | Annotated[list[str], Field(min_length=2, max_length=_MOST_COLUMNS)] | None = Field(
        None, description="The column that holds the class; or several columns of 0 and 1, one for each class."
    )
    id: str | None = Field(None, description="The column that names a sample, unique.")
    split: str | None = Field(None, description="The column that says train, validation or test.")
    group: str | None = Field(
        None,
        description="The column that says which samples belong together: a patient, a session, a document. Samples of one group "
        "do not vouch for each other.",
    )
    annotator: str | None = Field(
        None,
        # The digest of a dataset stays what it was before this field was there.
        exclude_if=lambda value: value is None,
        description="The column that says who gave the label; see GET /jobs/{id}/annotators. It is not learnt from.",
    )
    missing: Names | None = Field(
        None,
        max_length=_MOST_TEXTS,
        description="Texts that mean a missing value, in the label too. They count beside the usual words (NA, null, …), "
        "which are read so in the features of CSV and its kin alone; an empty list turns those off.",
    )
    merge_labels: dict[str, str | Annotated[Names, Field(max_length=_MOST_COLUMNS)]] = Field(
        default_factory=dict,
        description='Labels that are one class: {"yes": ["Yes", "YES "]}, or one at a time {"Yes": "yes"}.',
    )
    header: bool | None = Field(
        None,
        # As for `annotator`.
        exclude_if=lambda value: value is None,
        description="Whether a text table (CSV, TSV and their kin) begins with the names of its columns. false: its first row is a "
        "sample, and the columns are called column_1, column_2, … Left out, it is read as if it had names, with a warning where "
        "they look like data.",
    )
    decimal: Literal[".", ","] | None = Field(
        None, description="The mark before the decimals of numbers in a text table, where that was guessed wrongly."
    )
    day_first: bool | None = Field(
        None, description="Whether 01/02/2023 is the first of February; where that was guessed wrongly."
    )
    kinds: dict[str, FeatureKind] = Field(
        default_factory=dict,
        description='How columns are read, where that was guessed wrongly: {"zip": "categorical"}.',
    )
    features: Names | None = Field(
        None, max_length=_MOST_COLUMNS, description="The columns to learn from; all others when left out."
    )
    exclude: Names = Field(default_factory=list, max_length=_MOST_COLUMNS, description="Columns not to learn from.")
    annotation_policy: AnnotationPolicy = Field(
        "majority",
        description="For the export of a labelling tool: which annotation of a sample counts. majority, latest, ground_truth (those marked "
        "so, where they agree) or all (each becomes a sample). A tie is skipped.",
    )

    @property
    def label_column(self) -> str | None:
        """The label column, where the client names one alone."""
        return self.label if isinstance(self.label, str) else None


class Column(Frozen):
    """How one column of an upload was read."""

    name: str
    role: ColumnRole = Field(description="What the column is used for.")
    kind: FeatureKind | None = Field(description="Kind of its values; null where they are no input and of no kind.")
    why: str = Field(description="Why it has this role and this kind, in a sentence.")
    missing: int = Field(0, description="Number of its values that are missing.")
    unreadable: int = Field(
        0, description="Number of its values that are there and are not of its kind; they count as missing."
    )
    examples: list[str] = Field(default_factory=list, description="Two values that differ, shortened.")


class Feature(Frozen):
    """One input column: its name in the upload and the kind of its values."""

    name: str
    kind: FeatureKind
    column: str = Field(description="Its name in the canonical file.", exclude=True)


class WarningAction(Frozen):
    """The cure of a warning, where one click does it."""

    kind: Literal["verify", "rerun", "rerun_with_model", "review"] = Field(
        description="verify: people decide the samples of GET /jobs/{id}/verify-next, then POST /jobs with this job's spec and "
        "`changes`. rerun, rerun_with_model: POST /jobs with this job's spec and `changes`. review: people decide the top of "
        "the ranking."
    )
    label: str = Field(description="Words for a button.")
    count: int | None = Field(None, description="Of verify: how many samples.")
    model: str | None = Field(None, description="Of rerun_with_model: a name of GET /models.")
    changes: dict[str, Any] | None = Field(
        None, description="Fields of POST /jobs that replace those of this job, each whole."
    )


class ClientWarning(Frozen):
    """A warning about a dataset or a ranking. `code` is stable, `detail` says what follows and what to do."""

    code: str
    title: str = Field("", description="What is the case, in one short sentence.")
    detail: str
    action: WarningAction | None = Field(None, description="null where no single step mends it.")

    @model_validator(mode="before")
    @classmethod
    def _add_title(cls, values: Any) -> Any:
        # Also of warnings that were stored before there were titles.
        if isinstance(values, dict) and not values.get("title") and isinstance(values.get("code"), str):
            return {**values, "title": warning_title(values["code"])}
        return values


class ImageKind(Frozen):
    """What the images of a dataset have in common."""

    greyscale: bool = Field(description="Whether no image has colours, also of those that are stored in colour.")
    largest_side: int = Field(description="Pixels of the longest side of all images.")


class Recording(Frozen):
    """Description of a training that was recorded elsewhere."""

    epochs: list[int] = Field(description="Epochs of the recorded checkpoints, in order.")
    learning_rates: list[float] = Field(description="Learning rate of each checkpoint.")
    width: int = Field(description="Width of the input of the last layer.")
    shared: bool = Field(
        description="Whether the input of the last layer is the same at every checkpoint, and stored once."
    )
    bias: bool = Field(True, description="Whether the last layer has a bias, whose influence is then counted.")


class CanonicalHeader(BaseModel):
    """Header of a canonical file."""

    model_config = ConfigDict(frozen=True)

    modality: Modality
    classes: list[str]
    features: list[dict[str, str]] = Field(description="name, kind and column of each input column, in order")
    recording: Recording | None = Field(None, description="The recorded training, if it is one.")

    @classmethod
    def from_metadata(cls, metadata: Mapping[bytes, bytes]) -> "CanonicalHeader":
        """The header in the metadata of a canonical file's Arrow schema."""
        return cls.model_validate_json(metadata[METADATA_KEY])

    def to_metadata(self) -> dict[bytes, bytes]:
        """The header as metadata of an Arrow schema."""
        return {METADATA_KEY: self.model_dump_json().encode()}


class SkippedRow(Frozen):
    """A row or file of the upload that is not in the dataset, and why."""

    index: int = Field(description="Position in the upload, 0-based.")
    where: str = Field(description='Line of the file or name in the archive: "line 17", "cat/003.jpg".')
    reason: str


class Inferred(Frozen):
    """Fields of DatasetSpec that were inferred, because the client left them out."""

    label: str | None = None
    id: str | None = None
    split: str | None = None
    annotator: str | None = None
    modality: Modality | None = None
    group_candidates: list[str] = Field(
        default_factory=list, description="Columns that may say which samples belong together; see DatasetSpec.group."
    )
    label_candidates: list[str] = Field(
        default_factory=list, description="Columns that may be the label, the likeliest first, where it was guessed."
    )
    label_copies: list[str] = Field(
        default_factory=list,
        description="Columns that repeat the label, as names or codes of its classes. A corrected upload changes them with it.",
    )
    format: str = Field(description='How the file was read: "csv, delimiter semicolon, encoding utf-16".')


Applied = Literal["reviews", "suggestions"]


class VersionRequest(Frozen):
    """Body of POST /datasets/{id}/versions."""

    job: str = Field(description="Id of a completed job over the dataset.")
    apply: Applied = Field(
        description="reviews: decisions of people. suggestions: also the labels that the job suggests."
    )


class Lineage(Frozen):
    """Origin of a corrected dataset."""

    parent: str = Field(description="Id of the dataset that it corrects.")
    job: str = Field(description="Id of the job whose reviews or suggestions were applied.")
    applied: Applied
    relabelled: int = Field(description="Number of samples with another label than in the parent.")
    removed: int = Field(description="Number of samples of the parent that were left out.")
    verified: int = Field(
        description="Number of its samples that people have verified; see GET /datasets/{id}/verified."
    )


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
    columns: list[Column] = Field(
        default_factory=list, description="How each column was read; empty in lists and within jobs."
    )
    content_digest: str | None = Field(
        None,
        description="Digest of its samples: ids that are yours, labels, splits, groups and inputs, whatever their order. A corrected dataset "
        "that is downloaded and uploaded again has the same. null for datasets of older versions.",
    )
    lineage: Lineage | None = Field(None, description="null for an upload.")
    recording: Recording | None = Field(None, description="The recorded training; null for other data.")
    images: ImageKind | None = Field(None, description="null for other data, and for datasets of older versions.")

    def without_columns(self) -> "DatasetInfo":
        """The same without the account of its columns, which is long for a wide table."""
        return self.model_copy(update={"columns": []})

    @property
    def is_bare(self) -> bool:
        """Whether the dataset holds predictions without features, so that nothing says which samples are alike."""
        return self.modality == "predictions" and all(one.name != "features" for one in self.features)
