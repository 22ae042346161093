"""Answers and options of the API as frozen dataclasses and typed dictionaries.

Written by `python -m docs.scripts.client_models` from the description of the API; do not edit. Fields that a newer service adds
are in `extra`. Texts of an enumeration may be others than the listed ones, too, from a newer service.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Literal, TypedDict

AccessScope = Literal["read", "review", "submit", "admin"]

State = Literal["queued", "preparing", "training", "scoring", "ranking", "completed", "failed", "cancelled"]

Outcome = Literal[
    "relabelled_to_suggestion", "relabelled_otherwise", "removed", "confirmed", "plausible", "unsure", "pending"
]


@dataclass(frozen=True, kw_only=True)
class Accuracies:
    """Accuracies of the model after its last epoch, between 0 and 1."""

    train_accuracy: float | None = None
    # null when the training set itself serves.
    reference_accuracy: float | None = None
    # That training began with: the one found, where it was.
    learning_rate: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AgreementView:
    """Agreement on samples that several people labelled, skipped rows with annotators in conflict among them."""

    # How many such samples.
    samples: int
    # Mean share of the other people's labels on them that are the same.
    share: float
    # The same beyond chance: 0 is what chance gives, 1 is full agreement. Cohen's kappa of a person and the others;
    # of all together, Krippendorff's alpha. null where chance alone gives full agreement, and for each of very many
    # people.
    corrected: float | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ShareView:
    """A share with its 95 % interval by Wilson."""

    share: float
    low: float
    high: float
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AnnotatorNumbers:
    """Numbers of labels that one person gave, or all together."""

    # How many ranked samples have a label of theirs.
    labelled: int
    # For how many of them the job holds another label right: the suggested one where it calls the sample mislabeled,
    # else the given one. With a single label a sample, these are the samples with the verdict mislabeled.
    doubted: int
    # doubted / labelled; null where nothing ranked is labelled.
    doubted_share: ShareView | None
    # How many of those labels a review decides.
    reviewed: int
    # How many of those it finds wrong, or removes the sample.
    wrong: int
    # null where no sample has labels of several people.
    agreement: AgreementView | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ConfusedLabelsView:
    """How often a person gave one label where the job holds another one right."""

    given: str
    suggested: str
    count: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AnnotatorView:
    """One person who gave labels."""

    # How many ranked samples have a label of theirs.
    labelled: int
    # For how many of them the job holds another label right: the suggested one where it calls the sample mislabeled,
    # else the given one. With a single label a sample, these are the samples with the verdict mislabeled.
    doubted: int
    # doubted / labelled; null where nothing ranked is labelled.
    doubted_share: ShareView | None
    # How many of those labels a review decides.
    reviewed: int
    # How many of those it finds wrong, or removes the sample.
    wrong: int
    # null where no sample has labels of several people.
    agreement: AgreementView | None
    # Name or id, as the upload has it.
    annotator: str
    # The share of doubted labels that the others have on samples of the same classes; null where nobody else labelled
    # any.
    others_share: float | None
    # Probability that chance alone gives somebody as many doubts, corrected for the number of people by Holm. null:
    # nobody to compare with.
    chance: float | None
    # Whether `chance` is .05 or less: more labels are doubted than chance explains.
    stands_out: bool
    # The commonest of their doubted labels, three at most.
    most_confused: tuple[ConfusedLabelsView, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AnnotatorList:
    """People who gave labels: those that stand out first, then by the lower end of the share of doubted labels."""

    items: tuple[AnnotatorView, ...]
    overall: AnnotatorNumbers
    # Of how many ranked samples nobody is known who labelled them.
    not_known: int
    # What the differences mean, or how to say who labelled, in a sentence.
    detail: str
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[AnnotatorView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class WrongCount:
    """Number of labels that reviewers would call wrong."""

    # Without bias; null before the first review of a drawn sample.
    estimate: float | None
    # The interval holds with the confidence `level`, at every moment at once.
    low: int
    high: int
    # A bound for itself, with the same confidence; lower than `high`.
    at_most: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AuditMoment:
    """The interval after a number of reviews of drawn samples."""

    drawn: int
    found: int
    wrong: WrongCount
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AuditProxy:
    """A judge whose opinions on the labels share in the draws, and never in what is measured."""

    # From 1; the newest counts for the draws that follow.
    number: int
    name: str
    calls_right: int
    # Calls neither right nor wrong: the probability of a wrong label is above .2 and not above .5.
    doubts: int
    calls_wrong: int
    # Ranked samples without an opinion.
    says_nothing: int
    created_at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AuditStop:
    """Whether the reviews suffice for a goal."""

    goal: str
    # True: reviewing may stop, with the confidence `level`.
    reached: bool
    # Of accept: more is wrong than is accepted, with the same confidence.
    refused: bool
    # About how many it still takes, as expected from the reviews so far; null where it is not expected to be reached.
    expected_more_reviews: int | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Review:
    """A stored decision. `seq` counts from 1 within the job; the highest number of a sample holds."""

    # Id of the job in whose list it was made.
    job: str
    seq: int
    sample_id: str
    decision: Literal["relabel", "keep", "remove", "plausible", "unsure", "withdraw"]
    label: str | None
    # Label of the sample in that job; null where it is not known.
    given_label: str | None
    # Source: "api", or the labelling tool that it was read from, "label_studio".
    source: str
    # Who decided; null where it was not said.
    reviewer: str | None = None
    # What was decided in one request, to be undone together.
    batch: str | None = None
    created_at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DisputedSample:
    """A sample on which people differ."""

    sample_id: str
    # The last word of each person, in terms of the audited label.
    said: tuple[Review, ...]
    # What holds now: the latest of them.
    holds: Review | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RemainingCount:
    """Wrong labels among the samples that nobody reviewed."""

    at_most: int
    # As a share of these samples, at most; 0 where none is left.
    rate: float
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReviewedCount:
    """Number of reviewed samples."""

    # Drawn by chance: the number rests on these.
    drawn: int
    # Chosen by their rank, or reviewed anywhere else.
    other: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class LabelAudit:
    """The samples with one given label."""

    samples: int
    wrong: WrongCount
    # Labels that reviewers called wrong: relabelled or removed.
    found: int
    # Labels of which reviewers were not sure; they count as not wrong, see `worst_case`.
    unsure: int
    # Labels that can be defended, though reviewers would choose another; not wrong.
    plausible: int
    reviewed: ReviewedCount
    remaining: RemainingCount
    # Share of the wrong labels that were found, at least; null while none was.
    recall_at_least: float | None
    label: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RankBandProbability:
    """How likely the labels of some ranks of the newest ranking are wrong."""

    first: int
    last: int
    reviewed: int
    # Labels of them that were called wrong.
    wrong: int
    # That a label there is wrong, as expected from the reviews of all ranks; it falls with the rank. Not a bound.
    probability: float
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReviewerShare:
    """How often a reviewer agrees with what holds now."""

    # null: it was not said who.
    reviewer: str | None
    judged: int
    # Samples of them that others judged too.
    shared: int
    # Of the shared ones: how many times the last word of this reviewer is what holds now.
    agreed: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SplitAudit:
    """The ranked samples of one split."""

    samples: int
    wrong: WrongCount
    # Labels that reviewers called wrong: relabelled or removed.
    found: int
    # Labels of which reviewers were not sure; they count as not wrong, see `worst_case`.
    unsure: int
    # Labels that can be defended, though reviewers would choose another; not wrong.
    plausible: int
    reviewed: ReviewedCount
    remaining: RemainingCount
    # Share of the wrong labels that were found, at least; null while none was.
    recall_at_least: float | None
    split: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class TopAudit:
    """The first ranks of the audited job."""

    samples: int
    wrong: WrongCount
    # Labels that reviewers called wrong: relabelled or removed.
    found: int
    # Labels of which reviewers were not sure; they count as not wrong, see `worst_case`.
    unsure: int
    # Labels that can be defended, though reviewers would choose another; not wrong.
    plausible: int
    reviewed: ReviewedCount
    remaining: RemainingCount
    # Share of the wrong labels that were found, at least; null while none was.
    recall_at_least: float | None
    top: int
    # Estimated share of wrong labels among them.
    precision: float | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Audit:
    """How many labels of a job are wrong, by what people said and would say."""

    samples: int
    wrong: WrongCount
    # Labels that reviewers called wrong: relabelled or removed.
    found: int
    # Labels of which reviewers were not sure; they count as not wrong, see `worst_case`.
    unsure: int
    # Labels that can be defended, though reviewers would choose another; not wrong.
    plausible: int
    reviewed: ReviewedCount
    remaining: RemainingCount
    # Share of the wrong labels that were found, at least; null while none was.
    recall_at_least: float | None
    # The job whose labels are audited: the first of the chain, or this one.
    job: str
    level: float
    # Samples that were handed out and not reviewed.
    waiting: int
    stop: AuditStop
    # Wrong labels among the next 50 of the ranking, as expected; not a bound.
    next_50_expected: float
    # The score of the ranking as a probability, by the reviews: bands of ranks, narrow ones first.
    by_rank: tuple[RankBandProbability, ...]
    # For each `top`.
    precision_at: tuple[TopAudit, ...]
    # With by=label. An interval of a label with few draws is wide.
    labels: tuple[LabelAudit, ...]
    # With by=split.
    splits: tuple[SplitAudit, ...]
    # With history=true: how the interval narrowed, by the answers of today.
    history: tuple[AuditMoment, ...]
    # How many people must call a label wrong before it counts.
    confirm: int
    # Labels that too few people call wrong yet: they may be wrong or right.
    unconfirmed: int
    # With opinions=true: those who judged, the busiest first.
    reviewers: tuple[ReviewerShare, ...]
    # With opinions=true: the first 100 samples on which people differ.
    disputed: tuple[DisputedSample, ...]
    # The judge whose opinions share in the draws; null without one.
    proxy: AuditProxy | None = None
    # The answer in a sentence.
    means: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SampleLinks:
    """Paths of related resources."""

    # Everything that the job knows of the sample.
    self: str
    # The image or text itself; null for other data.
    media: str | None
    # The task in the labelling tool; null where it came from none.
    tool: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SampleCard:
    """A sample in short."""

    id: str
    # Position in the upload, 0-based.
    index: int
    preview: Mapping[str, Any]
    links: SampleLinks
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AuditItem:
    """A sample to review next. Whether it was drawn by chance is not told, so that it is judged like any other."""

    sample_id: str
    sample: SampleCard
    # The label that is audited.
    given_label: str
    suggested_label: str
    # How sure the suggested label is, from 0 to 1: a probability or only an order, as `confidence` says beside it.
    suggested_confidence: float
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AuditBatchView:
    """Samples to review next, in the order to show them in: drawn ones, and the likeliest ones among them."""

    batch: str
    # The job whose labels are audited: the first of the chain, or this one.
    job: str
    goal: str
    # What `suggested_confidence` is. probability: of the flagged samples with confidence p about the share p has the
    # suggested label. order: the higher, the surer, and the value is no probability.
    confidence: Literal["probability", "order"]
    # Fewer than asked for, or none, where no others are left.
    items: tuple[AuditItem, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[AuditItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class CertificateJudge:
    """Who judged drawn samples."""

    # null: it was not said who.
    reviewer: str | None
    judged: int
    # How many of them were called wrong.
    wrong: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AuditCertificate:
    """Whether at most a share of the labels is wrong, and the record that it follows from."""

    samples: int
    wrong: WrongCount
    # Labels that reviewers called wrong: relabelled or removed.
    found: int
    # Labels of which reviewers were not sure; they count as not wrong, see `worst_case`.
    unsure: int
    # Labels that can be defended, though reviewers would choose another; not wrong.
    plausible: int
    reviewed: ReviewedCount
    remaining: RemainingCount
    # Share of the wrong labels that were found, at least; null while none was.
    recall_at_least: float | None
    # undecided: more reviews of drawn samples would tell.
    verdict: Literal["accepted", "refused", "undecided"]
    # The share of wrong labels that is accepted.
    share: float
    level: float
    # The job whose labels were judged.
    job: str
    dataset: str
    dataset_name: str
    dataset_digest: str
    judges: tuple[CertificateJudge, ...]
    # Of the draws.
    seed: int
    # Of the log of draws.
    entries: int
    # SHA-256 of the log, its models and the answers; the same record gives the same one.
    log_digest: str
    made_at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AuditLogEntry:
    """One request that changed something, or was refused."""

    seq: int
    at: datetime
    # Project of the key; null where no valid key was sent.
    project: str | None
    # Id of the key; null for a key of the settings, and without keys.
    key: str | None
    # Name of the key; of SUSPECTS_API_KEYS the place in the list: `settings key 1`. null without a key.
    name: str | None
    # Address of the client.
    address: str | None
    method: str
    # Path without query and without secrets.
    path: str
    status: int
    request_id: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class AuditLogPage:
    """Entries of the audit log, newest first. They are not counted: the log only grows."""

    items: tuple[AuditLogEntry, ...]
    # Cursor of the next page; null on the last one.
    next: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[AuditLogEntry]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class Bins:
    """A histogram: `counts[i]` samples lie between `edges[i]` and `edges[i + 1]`."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class BulkRecorded:
    """Number of samples that a filter matches, and of recorded decisions."""

    # How many samples the decision is about.
    matched: int
    # How many decisions were recorded; 0 of a dry run.
    written: int
    # By which they are undone together; null where none was recorded.
    batch: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A sample whose label is worth verifying."""

    sample: SampleCard
    given_label: str
    suggested_label: str
    # How sure the suggested label is, from 0 to 1: a probability or only an order, as `confidence` says beside it.
    suggested_confidence: float
    # How many samples of its label are more like it, in the model's features, than like any earlier proposal; of a
    # label with more than 2,000 samples, as many were drawn and looked at.
    why: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class CandidateList:
    """Samples to verify; the ids of those found right go into `reference.samples` of the next job."""

    items: tuple[Candidate, ...]
    total: int
    # What `suggested_confidence` is. probability: of the flagged samples with confidence p about the share p has the
    # suggested label. order: the higher, the surer, and the value is no probability.
    confidence: Literal["probability", "order"]
    # Why no job of this kind has any; null otherwise.
    note: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class Check:
    """State of one part that the service needs."""

    ok: bool
    detail: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ClassCount:
    """Samples that carry one label."""

    label: str
    samples: int
    # How many of them have the same suggested label: the diagonal.
    agreeing: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ClassHealthView:
    """Samples of one given label."""

    label: str
    samples: int
    # How many look mislabeled.
    mislabeled: int
    # How many look unusual.
    anomalous: int
    # Of how many people decided.
    decided: int
    # How many of those were relabelled or removed.
    wrong: int
    # Samples of other labels for which this one is suggested.
    arriving: int
    # The other label that is suggested most often.
    confused_with: str | None
    # For how many samples.
    confused: int
    # Share of the samples whose label is also what a model guesses that has not seen it; null: not known.
    held_out_agreement: float | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ClassHealthList:
    """Classes, the largest share of flagged samples first."""

    items: tuple[ClassHealthView, ...]
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[ClassHealthView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class ValueCount:
    """A category and how many samples have it."""

    value: str
    count: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ClassSummary:
    """Values of one input in one class."""

    # Samples that have a value.
    count: int
    # Samples that have none.
    missing: int
    # At the shares of `quantiles`; null of categories.
    quantiles: tuple[float, ...] | None
    # The most frequent 20; null of numbers.
    values: tuple[ValueCount, ...] | None
    # Samples with another category than these.
    other: int | None
    label: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class TypicalWord:
    """A word that texts of a class hold much more often than other texts."""

    # In lower case.
    word: str
    # How many texts of the class hold it.
    texts: int
    # The same as a share of the texts of the class.
    share: float
    # The share of the other texts that hold it.
    elsewhere: float
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ClassWords:
    """The typical words of one class."""

    label: str
    # How many texts of the class were read.
    texts: int
    # The most telling first, at most 100; empty where none stands out.
    words: tuple[TypicalWord, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class WarningAction:
    """The cure of a warning, where one click does it."""

    # verify: people decide the samples of GET /jobs/{id}/verify-next, then POST /jobs with this job's spec and
    # `changes`. rerun, rerun_with_model: POST /jobs with this job's spec and `changes`. review: people decide the top
    # of the ranking.
    kind: Literal["verify", "rerun", "rerun_with_model", "review"]
    # Words for a button.
    label: str
    # Of verify: how many samples.
    count: int | None = None
    # Of rerun_with_model: a name of GET /models.
    model: str | None = None
    # Fields of POST /jobs that replace those of this job, each whole.
    changes: Mapping[str, Any] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ClientWarning:
    """A warning about a dataset or a ranking. `code` is stable, `detail` says what follows and what to do."""

    code: str
    # What is the case, in one short sentence.
    title: str = ""
    detail: str
    # null where no single step mends it.
    action: WarningAction | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Column:
    """How one column of an upload was read."""

    name: str
    # What the column is used for.
    role: Literal["label", "id", "split", "group", "annotator", "path", "input", "left_out"]
    # Kind of its values; null where they are no input and of no kind.
    kind: Literal["numeric", "categorical", "boolean", "datetime", "time", "embedding", "image", "text"] | None
    # Why it has this role and this kind, in a sentence.
    why: str
    # Number of its values that are missing.
    missing: int = 0
    # Number of its values that are there and are not of its kind; they count as missing.
    unreadable: int = 0
    # Two values that differ, shortened.
    examples: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class PairCount:
    """Samples that carry one label while another is suggested."""

    given: str
    suggested: str
    count: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ConfusionView:
    """Given against suggested labels: the diagonal by class, and beside it the commonest pairs."""

    # Every class, in the order of the dataset.
    classes: tuple[ClassCount, ...]
    # Pairs of different labels that occur, the commonest first.
    items: tuple[PairCount, ...]
    # How many such pairs occur.
    total: int
    # How many samples they have in all.
    disagreeing: int
    # How many of these samples are in pairs beyond the limit.
    left_out: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[PairCount]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class ConnectionCheck:
    """Result of the last test of a connection."""

    # User to whom the token belongs.
    user: str
    # Version of the tool; null where it does not say.
    version: str | None
    # Number of projects that the token can see.
    projects: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Connection:
    """A connection as the API shows it, without its token and its secret path."""

    id: str
    kind: Literal["label_studio"]
    name: str
    url: str
    # personal: a refresh token, exchanged for short-lived access tokens.
    token_kind: Literal["legacy", "personal"]
    seen: ConnectionCheck
    tested_at: datetime
    created_at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ConnectionPage:
    """Connections, newest first."""

    items: tuple[Connection, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[Connection]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class ConnectionSecret:
    """Secret path under which the labelling tool calls this service. It is shown only once."""

    # Secret: who knows it can read predictions and start training.
    path: str
    # The same with SUSPECTS_PUBLIC_URL before it; null where that is not set.
    url: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class KeyQuota:
    """Limits of a key. A field that is left out sets no limit."""

    requests_per_minute: int | None = None
    jobs_per_day: int | None = None
    # Bytes of all request bodies, as they are sent.
    bytes_per_day: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class CreatedKey:
    """A key just after it was created."""

    id: str
    name: str
    scopes: tuple[AccessScope, ...]
    project: str
    quota: KeyQuota
    created_at: datetime
    # Id of the key that created it; null: a key of the settings, or none.
    created_by: str | None
    expires_at: datetime | None
    # To the minute; null: never used.
    last_used_at: datetime | None
    # The key itself. It is shown this once; the service keeps only its hash.
    key: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class CurvePointView:
    """The first `flagged` samples by a signal."""

    flagged: int
    # Share of them that was planted.
    precision: float
    # Share of the planted errors among them.
    recall: float
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReviewedCutOff:
    """Share of wrong labels above a cut-off by reviews, each part of the ranking by its size; 95 %."""

    share: float
    low: float
    high: float
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class CutOffView:
    """One cut-off."""

    # For `min_score`.
    score: float
    # How many samples score at least this.
    flagged: int
    # Share of them whose label is expected to be wrong; null: not known.
    expected: float | None
    # Of how many of them people decided.
    decided: int
    # The share by these decisions; null while too few were made, or none in a part of the list.
    reviewed: ReviewedCutOff | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class CutOffList:
    """Cut-offs of a ranking, the strictest first."""

    by: str
    items: tuple[CutOffView, ...]
    total: int
    # What `expected` is made of: the probability that each label is wrong. null where that is only an order.
    basis: Literal["probability"] | None
    # Why nothing is expected; null otherwise.
    why_not: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[CutOffView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class ReviewedShare:
    """Share of the decided samples that were wrong: relabelled to another class, or removed.

    Samples without a decision, or with the decision "unsure" or "plausible", do not count.
    """

    decided: int
    wrong: int
    # wrong / decided; null while nothing is decided.
    precision: float | None
    # Wilson's interval for it, 95 %.
    low: float | None
    high: float | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DailyShare:
    """The flagged samples whose latest decision was made on one day."""

    decided: int
    wrong: int
    # wrong / decided; null while nothing is decided.
    precision: float | None
    # Wilson's interval for it, 95 %.
    low: float | None
    high: float | None
    day: date
    # All decisions up to the end of the day.
    so_far: ReviewedShare
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One input column: its name in the upload and the kind of its values."""

    name: str
    kind: Literal["numeric", "categorical", "boolean", "datetime", "time", "embedding", "image", "text"]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ImageKind:
    """What the images of a dataset have in common."""

    # Whether no image has colours, also of those that are stored in colour.
    greyscale: bool
    # Pixels of the longest side of all images.
    largest_side: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Inferred:
    """Fields of DatasetSpec that were inferred, because the client left them out."""

    label: str | None = None
    id: str | None = None
    split: str | None = None
    annotator: str | None = None
    modality: Literal["tabular", "image", "text", "embedding", "trace", "predictions"] | None = None
    # Columns that may say which samples belong together; see DatasetSpec.group.
    group_candidates: tuple[str, ...] = ()
    # Columns that may be the label, the likeliest first, where it was guessed.
    label_candidates: tuple[str, ...] = ()
    # Columns that repeat the label, as names or codes of its classes. A corrected upload changes them with it.
    label_copies: tuple[str, ...] = ()
    # How the file was read: "csv, delimiter semicolon, encoding utf-16".
    format: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Lineage:
    """Origin of a corrected dataset."""

    # Id of the dataset that it corrects.
    parent: str
    # Id of the job whose reviews or suggestions were applied.
    job: str
    applied: Literal["reviews", "suggestions"]
    # Number of samples with another label than in the parent.
    relabelled: int
    # Number of samples of the parent that were left out.
    removed: int
    # Number of its samples that people have verified; see GET /datasets/{id}/verified.
    verified: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Recording:
    """Description of a training that was recorded elsewhere."""

    # Epochs of the recorded checkpoints, in order.
    epochs: tuple[int, ...]
    # Learning rate of each checkpoint.
    learning_rates: tuple[float, ...]
    # Width of the input of the last layer.
    width: int
    # Whether the input of the last layer is the same at every checkpoint, and stored once.
    shared: bool
    # Whether the last layer has a bias, whose influence is then counted.
    bias: bool = True
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DatasetInfo:
    """A dataset as the API shows it."""

    id: str
    name: str
    modality: Literal["tabular", "image", "text", "embedding", "trace", "predictions"]
    rows: int
    classes: tuple[str, ...]
    class_counts: Mapping[str, int]
    features: tuple[Feature, ...]
    splits: Mapping[str, int]
    digest: str
    skipped_rows: int
    inferred: Inferred
    warnings: tuple[ClientWarning, ...]
    created_at: datetime
    # How each column was read; empty in lists and within jobs.
    columns: tuple[Column, ...] = ()
    # Digest of its samples: ids that are yours, labels, splits, groups and inputs, whatever their order. A corrected
    # dataset that is downloaded and uploaded again has the same. null for datasets of older versions.
    content_digest: str | None = None
    # null for an upload.
    lineage: Lineage | None = None
    # The recorded training; null for other data.
    recording: Recording | None = None
    # null for other data, and for datasets of older versions.
    images: ImageKind | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DatasetView:
    """A dataset, with what became of it."""

    id: str
    name: str
    modality: Literal["tabular", "image", "text", "embedding", "trace", "predictions"]
    rows: int
    classes: tuple[str, ...]
    class_counts: Mapping[str, int]
    features: tuple[Feature, ...]
    splits: Mapping[str, int]
    digest: str
    skipped_rows: int
    inferred: Inferred
    warnings: tuple[ClientWarning, ...]
    created_at: datetime
    # How each column was read; empty in lists and within jobs.
    columns: tuple[Column, ...] = ()
    # Digest of its samples: ids that are yours, labels, splits, groups and inputs, whatever their order. A corrected
    # dataset that is downloaded and uploaded again has the same. null for datasets of older versions.
    content_digest: str | None = None
    # null for an upload.
    lineage: Lineage | None = None
    # The recorded training; null for other data.
    recording: Recording | None = None
    # null for other data, and for datasets of older versions.
    images: ImageKind | None = None
    # How many jobs train on it.
    jobs: int
    # 1 for an upload; of a corrected dataset one more than that of its parent.
    version: int
    # The dataset that it corrects; null for an upload.
    parent: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DatasetPage:
    """Datasets, newest first."""

    items: tuple[DatasetView, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[DatasetView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class ValueSummary:
    """Values of one input: a grid of quantiles of numbers, or the most frequent categories."""

    # Samples that have a value.
    count: int
    # Samples that have none.
    missing: int
    # At the shares of `quantiles`; null of categories.
    quantiles: tuple[float, ...] | None
    # The most frequent 20; null of numbers.
    values: tuple[ValueCount, ...] | None
    # Samples with another category than these.
    other: int | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class FeatureProfile:
    """Values of one input, overall and by class."""

    name: str
    kind: Literal["numeric", "categorical"]
    overall: ValueSummary
    # The largest 100 classes, the largest first.
    by_class: tuple[ClassSummary, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DatasetProfile:
    """Values of the inputs of a dataset, by class: what is usual there."""

    # How many rows were read: at most about 200,000, spread evenly.
    rows: int
    # The shares that the grids of quantiles are for.
    quantiles: tuple[float, ...]
    # Numbers and categories, the first 200.
    features: tuple[FeatureProfile, ...]
    # Of a text dataset with two classes or more: the words that are typical of each of the largest 100 classes,
    # counted in the first 2,000 characters of each text, of more than 32 MiB in a part of the texts that is spread
    # evenly. What is typical of a class here is not what a model has looked at. Texts in scripts without spaces
    # between words, such as Chinese, Japanese and Thai, have none.
    typical_words: tuple[ClassWords, ...]
    # How many of each are not in it.
    left_out: Mapping[str, int]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DatasetSampleLinks:
    """Paths of related resources."""

    self: str
    # The image or text itself; null for other data.
    media: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DatasetSample:
    """One row of a dataset."""

    id: str
    # Position in the upload, 0-based.
    index: int
    split: str
    label: str
    # By the client's names; an image is described, see links.media.
    features: Mapping[str, Any]
    links: DatasetSampleLinks
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DatasetSampleCard:
    """One row of a dataset in short."""

    id: str
    # Position in the upload, 0-based.
    index: int
    split: str
    label: str
    preview: Mapping[str, Any]
    links: DatasetSampleLinks
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DatasetSamplePage:
    """Rows of a dataset, in their order."""

    items: tuple[DatasetSampleCard, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[DatasetSampleCard]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class DeliveryView:
    """One message to a webhook."""

    # Sent as webhook-id; the same in every attempt.
    id: str
    job: str
    # job.completed, job.failed or job.cancelled.
    event: str
    # Without its query.
    url: str
    state: Literal["pending", "delivered", "dead"]
    # How many were made.
    attempts: int
    # When the next attempt is made; null when there will be none.
    due_at: datetime | None
    # What the receiver answered last; null when it could not be asked.
    status: int | None
    # Why the last attempt failed.
    error: str | None
    created_at: datetime
    ended_at: datetime | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DeliveryPage:
    """Messages to webhooks, newest first."""

    items: tuple[DeliveryView, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[DeliveryView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class DetectionCurve:
    """Precision and recall of one signal."""

    signal: str
    points: tuple[CurvePointView, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DiffAccuracy:
    """The accuracy on the reference before and after."""

    # Whether both jobs were measured on the same samples with the same labels.
    comparable: bool
    before: float | None
    after: float | None
    # after - before; null unless comparable.
    gain: float | None
    note: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DiffPlace:
    """Where a sample stands in one job."""

    rank: int
    score: float
    verdict: Literal["mislabeled", "anomalous", "clean", "not_judged"]
    given_label: str
    suggested_label: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DiffItem:
    """A sample in both jobs; null where it was not ranked."""

    sample_id: str
    before: DiffPlace | None
    after: DiffPlace | None
    # What differs, the first that holds: it is not in the later dataset; it is in one of the two rankings only; it
    # has another label; another verdict; another rank.
    why: Literal["removed", "held_out", "new", "relabelled", "verdict", "rank"]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class DiffList:
    """Part of a list, the most suspicious first."""

    items: tuple[DiffItem, ...]
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[DiffItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class DiffSide:
    """One of two jobs."""

    job: str
    dataset: str
    created_at: datetime
    # How many it ranked.
    samples: int
    flagged: int
    train_accuracy: float | None
    reference_accuracy: float | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """End of training once the mean training loss no longer falls. No sample is held out."""

    # Epochs without improvement after which training ends.
    patience: int = 5
    # Share of the best loss so far by which an epoch's must be lower to count.
    min_improvement: float = 0.01
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class OwnEstimate:
    """Estimated number of samples, with an interval where one is known.

    Where the status is unknown, the job cannot tell, and the numbers mean nothing.
    """

    # measured: by reviews of samples drawn at random. rough: by a rule that holds on most data. unknown: it cannot be
    # told from none, see `reason`.
    status: Literal["measured", "rough", "unknown"]
    # It decides how many are flagged, whatever the status.
    count: int
    low: float | None = None
    high: float | None = None
    # Why it is unknown, and what would help; null otherwise.
    reason: str | None = None
    # Of out-of-sample predictions: how many cleanlab counts by them (Northcutt et al. 2021).
    confident_joint: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Estimated or measured number of samples."""

    # measured: by reviews of samples drawn at random. rough: by a rule that holds on most data. unknown: it cannot be
    # told from none, see `reason`.
    status: Literal["measured", "rough", "unknown"]
    # It decides how many are flagged, whatever the status.
    count: int
    low: float | None = None
    high: float | None = None
    # Why it is unknown, and what would help; null otherwise.
    reason: str | None = None
    # Of out-of-sample predictions: how many cleanlab counts by them (Northcutt et al. 2021).
    confident_joint: int | None = None
    # Of a measured number: what the job told without reviews. Flags and certainty follow it until the samples are
    # scored again (`result.rescored.recalibrated`).
    rule: OwnEstimate | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ModelRequest:
    """Which model to train."""

    # A name of GET /models, or auto: chosen by modality and size.
    name: str = "auto"
    # The model's own parameters; see GET /models.
    params: Mapping[str, Any] = field(default_factory=dict)
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Training:
    """How the model is trained, resolved.

    Of a recorded training `epochs` says how many checkpoints there are and `learning_rate` that of the first; beside
    them
    only `checkpoints` and `seed` mean anything. Of out-of-sample predictions these are 1: influence is that of one
    step.
    """

    # balanced: each class weighs the same in the loss that is trained on, however few its samples. Influence and
    # signals use the unweighted loss: otherwise every sample of a rare class would be suspicious for its class alone.
    class_weights: Literal["none", "balanced"] = "none"
    # Of images. flip_crop: every epoch sees each image moved by up to an eighth of its sides, its edge repeated, and
    # mirrored half the time; not for classes that a mirror confuses, such as digits and letters. Signals always see
    # the plain image.
    augmentation: Literal["none", "flip_crop"] = "none"
    # Left out, all epochs are run. The checkpoints that are scored spread over the epochs that were, so the states of
    # all epochs are kept until then.
    early_stopping: EarlyStopping | None = None
    # Of the products in training; weights, losses and all signals are float32. bfloat16 pays only on processors that
    # have it.
    precision: Literal["float32", "bfloat16"] = "float32"
    epochs: int
    batch_size: int
    learning_rate: float
    find_learning_rate: bool = False
    optimizer: Literal["sgd", "adamw"]
    schedule: Literal["constant", "cosine"]
    momentum: float
    weight_decay: float
    seed: int
    checkpoints: Literal["all"] | int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Fallback:
    """What `auto` trains where no pretrained network is at hand. The first worker of the job decides."""

    model: ModelRequest
    training: Training
    # null until a worker has decided; then `model` and `training` of the job are final.
    used: bool | None = None
    # Why no pretrained network was at hand, where that is so.
    reason: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class FlaggedSample:
    """A sample that an issue is about."""

    id: str
    # Position in the upload that it came with.
    index: int
    # Of a training sample the label that it was ranked with.
    label: str
    # training: it is ranked. reference: it is in the job's reference. Otherwise the split of the dataset that it is
    # in.
    part: str
    # Number of the set of samples that it belongs to, from 0; null where each sample stands for itself.
    group: int | None = None
    # What is the matter with this sample; null where the type says it all.
    detail: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Glitch:
    """Known errors that are planted before training, to measure how well each signal finds them."""

    # mislabeled: uniform = any other label, pair = the next class, confusion = likelier the nearer the classes'
    # means, one_way = half of the classes lose samples to the nearest of the others, human = samples that look like
    # another class get its label, cluster = samples of one class that are alike get the label of the class next to
    # them. anomalous replaces the inputs: far_clustered = one tight cluster three radii outside of the data under one
    # label, far_scattered = each in a direction and under a label of its own, near_clustered = a cluster at the edge
    # of the data under another label, shuffled = ordinary values in combinations that do not occur (images: tiles
    # moved), extreme = a quarter of the columns 6 to 10 deviations away (images: inverted or glaring). Of texts: far
    # = gibberish of rare tokens, near clustered = copies of one text with some words of others, shuffled = words of
    # many texts, extreme = one token over and over. duplicate = a copy of another sample, with its label;
    # duplicate_relabeled = with another label.
    kind: Literal[
        "mislabeled_uniform",
        "mislabeled_pair",
        "mislabeled_confusion",
        "mislabeled_one_way",
        "mislabeled_human",
        "mislabeled_cluster",
        "anomalous_far_clustered",
        "anomalous_far_scattered",
        "anomalous_near_clustered",
        "anomalous_shuffled",
        "anomalous_extreme",
        "duplicate",
        "duplicate_relabeled",
    ]
    # Share of the training part.
    rate: float = 0.1
    seed: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class GroupPart:
    """One of the two parts of a label. Either can be the wrong one: look at both."""

    # tighter: its samples are more like one another; it is the group. As a filter, together with the label, it gives
    # every sample of the part.
    part: Literal["tighter", "looser"]
    size: int
    # Whether it has fewer samples than the other part.
    is_smaller: bool
    # The other label that is nearest to it; null where the nearest samples are all of its own label.
    leans_to: str | None
    # How strongly, 0 to 1: the share of that label among the ten nearest samples outside of the part, of every label
    # as many to choose from, the other part of its own included.
    lean: float
    # The most typical first, 50 at most.
    sample_ids: tuple[str, ...]
    previews: tuple[SampleCard, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class GroupView:
    """Both parts of a label. Size and samples are those of the tighter one."""

    label: str
    size: int
    # Share of the label's variance that setting it apart explains.
    separation: float
    # The same along the line between the group and the rest alone: near 1 for two clusters, 0.64 for one normal
    # cluster cut in its middle.
    gap: float
    # The most typical first; not all of a large group.
    sample_ids: tuple[str, ...]
    previews: tuple[SampleCard, ...]
    # Both, the tighter one first; empty for a job of an earlier version.
    parts: tuple[GroupPart, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class GroupList:
    """Groups, the best separated first."""

    items: tuple[GroupView, ...]
    total: int
    # Why no job of this kind has any; null otherwise.
    note: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[GroupView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class Health:
    """The process is alive."""

    status: Literal["ok"] = "ok"
    version: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Influence:
    """Gradients that influence is computed from."""

    # Whose gradients count: the last layer, the last two, all that have parameters, or modules of the model by name.
    # A layer that is not supported fails the job and is named. Neighbours, densities and the evidence of single
    # samples always read the last layers.
    layers: Literal["last", "last-2", "all"] | tuple[str, ...] = "last"
    # tracin is exact; projected keeps each layer's gradient in about `dimension` random numbers, which keeps inner
    # products on average, for networks too large otherwise.
    estimator: Literal["tracin", "projected"] = "tracin"
    # Of estimator projected: numbers kept of each layer.
    dimension: int = 1024
    # Without a reference the training set serves; signals of cost `pairs` then use this many of its rows, drawn from
    # every class in proportion, and say so in a warning. Training sets of up to 2,000 rows and references that are
    # given are used whole.
    columns: int = 128
    # Of products on a GPU: exact errs by about 1e-6, as single precision on a processor does, fast by about 1e-3.
    # Without a GPU both are the same.
    precision: Literal["exact", "fast"] = "exact"
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class InfluentialSample:
    """A reference sample, and how far training on this sample lowered (positive) or raised its loss."""

    id: str
    label: str
    influence: float
    # What sums up to `influence`, in the order of `trajectory.epochs`; known of the strongest suspects.
    by_checkpoint: tuple[float, ...] | None
    link: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class IssueView:
    """One type of issue in the samples of a job."""

    type: Literal[
        "contradicting_duplicates",
        "exact_duplicates",
        "near_duplicates",
        "leakage",
        "order",
        "slices",
        "text",
        "images",
    ]
    title: str
    # Whether there is something to look at.
    found: bool
    # 0 to 1, higher = worse. What it is of this type, `score_is` says.
    score: float
    score_is: str
    # How many samples; 0 for what is true of the data as a whole.
    flagged: int
    # The first of them, set after set, as many as `limit`; of each type 500 are kept.
    samples: tuple[FlaggedSample, ...]
    # What was found, in plain words.
    detail: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class UncheckedIssue:
    """A type of issue that was not looked for."""

    type: Literal[
        "contradicting_duplicates",
        "exact_duplicates",
        "near_duplicates",
        "leakage",
        "order",
        "slices",
        "text",
        "images",
    ]
    title: str
    reason: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class IssueList:
    """Issues by type, also those of which nothing was found."""

    items: tuple[IssueView, ...]
    total: int
    # Types that this job could not be examined for, and why.
    not_checked: tuple[UncheckedIssue, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[IssueView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class JobDiff:
    """What differs between two jobs; `before` is the one that was submitted first."""

    by: str
    before: DiffSide
    after: DiffSide
    accuracy: DiffAccuracy
    # Parts of `spec` that are not the same, the dataset aside.
    differing: tuple[str, ...]
    # Samples that both ranked.
    common: int
    only_before: int
    only_after: int
    # Samples whose given label changed.
    relabelled: DiffList
    # Flagged after and not before.
    appeared: DiffList
    # Flagged before and not after.
    vanished: DiffList
    # Among the first `limit` after and not before.
    entered: DiffList
    # Among the first `limit` before and not after.
    left: DiffList
    # Among the first `limit` in both, at another rank.
    moved: DiffList
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobError:
    """Why a job failed. `code` is stable; `detail` says what to change."""

    code: str
    detail: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Loop:
    """When the job is run again, over its dataset corrected by reviews."""

    # Number of samples that reviews must have relabelled or removed.
    after: int
    # Time without a new review, in seconds.
    quiet_seconds: float = 60
    # Time since the job ended, in seconds.
    cool_down_seconds: float = 600
    # Reference of the next job: that of this one, or every sample that people have verified.
    reference: Literal["same", "verified"] = "same"
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class PullSource:
    """Source of the labelled tasks of a job."""

    # Id of a connection.
    connection: str
    # The tool's own number of the project.
    project: int
    # Name of the Choices tag that holds the class, where there are several.
    from_name: str | None = None
    # Which annotation of a task counts: the latest, what most say, those marked as ground truth where they agree, or
    # all of them, each as a sample of its own.
    annotation_policy: Literal["latest", "majority", "ground_truth", "all"] = "latest"
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Samples on which influence is measured, chosen in exactly one way."""

    # Id of another dataset with the same features and classes.
    dataset: str | None = None
    # A split of the same dataset.
    split: str | None = None
    # Share of the training part to hold out.
    holdout: float | None = None
    # Ids that people have verified; in a request at most 100,000.
    samples: tuple[str, ...] | None = None
    # Every sample of the dataset that people have verified; echoed as `samples`.
    verified: Literal[True] | None = None
    # Whether people have verified it; true for dataset and split.
    trusted: bool | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class WebhookShown:
    """Webhook of a job, without its secret and the query of its URL."""

    url: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobSpec:
    """A job with every default filled in; a worker needs nothing else but the datasets."""

    dataset: str
    reference: Reference | None
    model: ModelRequest
    training: Training
    influence: Influence
    signals: tuple[str, ...]
    glitches: tuple[Glitch, ...] | None
    loop: Loop | None = None
    webhook: WebhookShown | None = None
    # Where the samples come from; null for a dataset.
    source: PullSource | None = None
    # What is trained instead of `model` where no pretrained network is at hand; null unless `auto` stands for one.
    # Not a field of requests.
    fallback: Fallback | None = None
    name: str
    priority: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SecondsRange:
    """An interval of time in seconds."""

    low: float
    high: float
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobEstimate:
    """How long a job would take."""

    # What would be done, every default resolved.
    spec: JobSpec
    # From the moment that a worker takes the job to its end; null where the jobs that have run here say nothing.
    seconds: SecondsRange | None
    # What `seconds` is based on, or why it is null.
    basis: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobLinks:
    """Paths of related resources."""

    self: str
    suspects: str
    events: str
    # null until the job is completed.
    report: str | None = None
    # The weights at the end of training; null where nothing is trained.
    model: str | None = None
    # The job that this one is the rerun of.
    previous: str | None = None
    # The job that followed it, once its loop has run it again.
    next: str | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RescoredRanking:
    """Which version of a ranking it is, once its samples were scored again."""

    # The job itself made version 0.
    version: int
    # Verified samples that served as reference.
    samples: int
    # Number of the last review of this job that counted.
    reviews: int
    # Whether flags and certainty follow what reviewers said: flagged is what is more likely wrong than not. So once
    # the number of wrong labels is measured.
    recalibrated: bool = False
    at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobResult:
    """Result of a completed job, or of its first ranking while it computes."""

    # quick: a first ranking of a table, by trees alone, that is there while the job still computes; it has the signal
    # `mislabeled` and no estimate. full: the ranking of the completed job, which takes its place.
    stage: Literal["quick", "full"] = "full"
    # How many were ranked: every one of the training part.
    samples: int
    model: Accuracies
    estimates: Mapping[str, Estimate]
    # Seconds: training_s, scoring_s, ranking_s and others.
    timings: Mapping[str, float]
    # Which were computed.
    signals: tuple[str, ...]
    # What the numbers cannot be trusted for, and how to mend it.
    warnings: tuple[ClientWarning, ...]
    # What `suggested_confidence` is. probability: of the flagged samples with confidence p about the share p has the
    # suggested label. order: the higher, the surer, and the value is no probability.
    confidence: Literal["probability", "order"] = "order"
    # null while the ranking is the one that the job made.
    rescored: RescoredRanking | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ListedReference:
    """Reference of a job in a list, without most of its samples where there are many."""

    # Id of another dataset with the same features and classes.
    dataset: str | None = None
    # A split of the same dataset.
    split: str | None = None
    # Share of the training part to hold out.
    holdout: float | None = None
    # Ids that people have verified; in a request at most 100,000.
    samples: tuple[str, ...] | None = None
    # Every sample of the dataset that people have verified; echoed as `samples`.
    verified: Literal[True] | None = None
    # Whether people have verified it; true for dataset and split.
    trusted: bool | None = None
    # How many samples there are, where `samples` is only the first 50; left out otherwise.
    sample_count: int | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ListedSpec:
    """What a job in a list does."""

    dataset: str
    reference: ListedReference | None
    model: ModelRequest
    training: Training
    influence: Influence
    signals: tuple[str, ...]
    glitches: tuple[Glitch, ...] | None
    loop: Loop | None = None
    webhook: WebhookShown | None = None
    # Where the samples come from; null for a dataset.
    source: PullSource | None = None
    # What is trained instead of `model` where no pretrained network is at hand; null unless `auto` stands for one.
    # Not a field of requests.
    fallback: Fallback | None = None
    name: str
    priority: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Progress of a job; `fraction` is the share of the whole job that is done, from 0 to 1."""

    fraction: float = 0.0
    phase: str = "queued"
    detail: str = ""
    eta_seconds: float | None = None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RescoringView:
    """The last rescoring of a job: its samples are scored again by what was verified, without a training."""

    # Of the ranking that it makes.
    version: int
    state: Literal["queued", "running", "completed", "failed"]
    # Verified samples that served as reference; null until it is completed.
    samples: int | None
    # Why it failed; the ranking is as before then.
    error: JobError | None
    created_at: datetime
    finished_at: datetime | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ListedJob:
    """A job in a list."""

    id: str
    name: str
    state: State
    progress: Progress
    # What is done, every default resolved. Of a reference by name the first 50 samples; the job itself has all.
    spec: ListedSpec
    dataset: DatasetInfo
    # How many workers have begun it.
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    # null until there is a ranking: until the job is completed, or has a first one (`stage`: quick).
    result: JobResult | None
    # Why its loop cannot run it again; the next review tries anew. null while nothing is wrong.
    loop_trouble: str | None = None
    # How many samples carry the verdict mislabeled or anomalous; null until it is completed.
    flagged: int | None = None
    # On how many ranked samples a decision holds, its chain included.
    reviewed: int = 0
    # When the rerun starts that was asked for, unless somebody reviews meanwhile; null: none is.
    rerun_at: datetime | None = None
    # Why it cannot be run again now; null where it can.
    rerun_blocked: str | None = None
    # The last time that its samples were scored again.
    rescoring: RescoringView | None = None
    # How many ranked samples have a label that people kept or changed, or had verified before the job.
    verified: int = 0
    # Why its samples cannot be scored again now; null where they can.
    rescore_blocked: str | None = None
    links: JobLinks
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobPage:
    """Jobs, newest first."""

    items: tuple[ListedJob, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[ListedJob]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class PlantedGlitch:
    """An error that the job planted."""

    kind: str
    original_label: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RankedSignal:
    """One signal of one sample."""

    value: float
    # 1 = the most suspicious of the job.
    rank: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReviewView:
    """Latest decision of a person on a sample, in terms of this job's labels.

    It may have been given to one that this job follows, or that follows it: a sample that was relabelled there, and
    carries that label here, is kept.
    """

    decision: Literal["relabel", "keep", "remove", "plausible", "unsure", "withdraw"]
    # The right class; null unless relabelled.
    label: str | None
    # The decision beside the given and the suggested label.
    outcome: Outcome
    # The job that it was given to: this one, or another of its chain.
    job: str
    # "api", or the labelling tool that it was read from.
    source: str
    # Who decided; null where it was not said.
    reviewer: str | None = None
    created_at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Trajectory:
    """One sample over the kept checkpoints; every list is in their order.

    Of out-of-sample predictions there is one entry, the prediction, and without features no influence.
    """

    # 0 stands for out-of-sample predictions, which have none.
    epochs: tuple[int, ...]
    loss: tuple[float, ...]
    # Score of its label minus the best other's; below 0 = another was ahead.
    margin: tuple[float, ...]
    self_influence: tuple[float, ...]
    # Influence on the reference samples of a class: its own and those that it hurts most.
    class_influence: Mapping[str, tuple[float, ...]]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class WitnessCounts:
    """The reference samples of the suggested class that are most like this one, and how many push against it.

    One does where training on this sample raised its loss.
    """

    # The suggested label.
    class_: str
    # How many samples: 50, or all that there are.
    looked_at: int
    # How many push against it, in the order of `trajectory.epochs`.
    against: tuple[int, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobSample:
    """Everything about one sample. What was not ranked has no scores, and says why."""

    id: str
    index: int
    given_label: str
    held_out: bool
    # In plain English.
    reason: str
    suggested_label: str | None = None
    # How sure the suggested label is, from 0 to 1: a probability or only an order, as `confidence` says beside it.
    suggested_confidence: float | None = None
    # What `suggested_confidence` is. probability: of the flagged samples with confidence p about the share p has the
    # suggested label. order: the higher, the surer, and the value is no probability.
    confidence: Literal["probability", "order"] = "order"
    verdict: Literal["mislabeled", "anomalous", "clean", "not_judged"] | None = None
    planted: PlantedGlitch | None = None
    review: ReviewView | None = None
    signals: Mapping[str, RankedSignal] = field(default_factory=dict)
    trajectory: Trajectory | None = None
    supporting: tuple[InfluentialSample, ...] = ()
    opposing: tuple[InfluentialSample, ...] = ()
    # Known of the strongest suspects, at most 200.
    witnesses: WitnessCounts | None = None
    features: Mapping[str, Any]
    links: SampleLinks
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class JobView:
    """A job: its options, state and result."""

    id: str
    name: str
    state: State
    progress: Progress
    # What is done, every default resolved.
    spec: JobSpec
    dataset: DatasetInfo
    # How many workers have begun it.
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    # null until there is a ranking: until the job is completed, or has a first one (`stage`: quick).
    result: JobResult | None
    # Why its loop cannot run it again; the next review tries anew. null while nothing is wrong.
    loop_trouble: str | None = None
    # How many samples carry the verdict mislabeled or anomalous; null until it is completed.
    flagged: int | None = None
    # On how many ranked samples a decision holds, its chain included.
    reviewed: int = 0
    # When the rerun starts that was asked for, unless somebody reviews meanwhile; null: none is.
    rerun_at: datetime | None = None
    # Why it cannot be run again now; null where it can.
    rerun_blocked: str | None = None
    # The last time that its samples were scored again.
    rescoring: RescoringView | None = None
    # How many ranked samples have a label that people kept or changed, or had verified before the job.
    verified: int = 0
    # Why its samples cannot be scored again now; null where they can.
    rescore_blocked: str | None = None
    links: JobLinks
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class KeyView:
    """A key as it is listed, without its secret."""

    id: str
    name: str
    scopes: tuple[AccessScope, ...]
    project: str
    quota: KeyQuota
    created_at: datetime
    # Id of the key that created it; null: a key of the settings, or none.
    created_by: str | None
    expires_at: datetime | None
    # To the minute; null: never used.
    last_used_at: datetime | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class KeyPage:
    """Keys, newest first."""

    items: tuple[KeyView, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[KeyView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class LineageItem:
    """A job in the line from a dataset to its corrected versions."""

    # 1 is the first dataset of the line.
    version: int
    job: str
    name: str
    state: State
    dataset: str
    created_at: datetime
    # Of its dataset.
    rows: int
    # How many it ranked; null until it is completed, as what follows.
    samples: int | None
    train_accuracy: float | None
    reference_accuracy: float | None
    flagged: int | None
    reviewed: int
    # Samples with another label than in the dataset before it.
    relabelled: int
    # Samples of the dataset before it that were left out.
    removed: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class LineageList:
    """A job with those before and after it, the oldest first."""

    items: tuple[LineageItem, ...]
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[LineageItem]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class MapPoints:
    """Samples on a map, as columns of equal length."""

    id: tuple[str, ...]
    x: tuple[float, ...]
    y: tuple[float, ...]
    # Given labels, as places in `labels`.
    label: tuple[int, ...]
    # Suggested labels, as places in `labels`.
    suggested: tuple[int, ...]
    # Places in `verdicts`.
    verdict: tuple[int, ...]
    # Decisions that hold, as places in `decisions`; -1 where none does.
    decision: tuple[int, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ModelView:
    """A model that a job may use."""

    name: str
    title: str
    modality: str
    cost: Literal["low", "medium", "high"]
    pretrained: bool
    # Whether `auto` picks it for some data of its modality.
    default: bool
    # JSON schema of `model.params`.
    params: Mapping[str, Any]
    # What `training` fields become when left out; empty where nothing is trained.
    training: Mapping[str, Any]
    # And what they become where `trainable_blocks` of a pretrained network are trained, if that differs.
    fine_tuning: Mapping[str, Any]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ModelList:
    """All models."""

    items: tuple[ModelView, ...]
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[ModelView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class NetworkLayer:
    """A linear layer of an exported program."""

    name: str
    in_features: int
    out_features: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class NetworkInfo:
    """An uploaded network as the API shows it."""

    id: str
    name: str
    # state: weights by name. program: what torch.export.save wrote.
    kind: Literal["state", "program"]
    digest: str
    bytes: int
    # Number of stored tensors.
    tensors: int
    # Number of values in all tensors together.
    numbers: int
    # Of a program: the shape of its input, null where it may be any size; the first is the samples.
    input: tuple[int | None, ...] | None = None
    # Of a program: its numbers.
    input_type: Literal["float32", "uint8", "other"] | None = None
    # Of a program: its linear layers, in the order of their use.
    layers: tuple[NetworkLayer, ...] = ()
    created_at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class NetworkPage:
    """Uploaded networks, newest first."""

    items: tuple[NetworkInfo, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[NetworkInfo]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class PlantedErrorsView:
    """How well signals find the planted errors; both are empty where none were planted."""

    # How many were planted, by kind.
    kinds: Mapping[str, int]
    items: tuple[DetectionCurve, ...]
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[DetectionCurve]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class PushResult:
    """Result of a push: what was done, or with `dry_run` would be done, in the tool."""

    mode: Literal["predictions", "tab", "review_project", "requeue"]
    dry_run: bool
    project: int
    # Name of the model version of the predictions.
    model_version: str
    # Number of tasks with a prediction of this job.
    predictions: int
    # Number of predictions that were written now; 0 where all were there already.
    written: int
    # Number of earlier predictions of this job that were deleted first.
    replaced: int
    # Number of predictions that also have `mislabeling` and `neighbors`.
    detailed: int
    # Number of ranked tasks that are no longer in the project.
    missing: int
    # Number of ranked tasks whose suggested class is no longer in the label config.
    unwritable: int
    # Number of the tab that is sorted by suspicion.
    view: int | None
    # Number of the project of suspects.
    review_project: int | None
    # Number of tasks in the project of suspects, or put back into the queue, now or before.
    suspects: int
    # Model version whose scores the tool showed before the first push.
    model_version_before: str | None
    # Whether the tool was asked to send events to this service: `asked`, or why not; null without
    # SUSPECTS_PUBLIC_URL.
    events: str | None
    # URL of the result in the tool.
    url: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RankBand:
    """The decided samples from rank `first` to rank `last`, both included."""

    decided: int
    wrong: int
    # wrong / decided; null while nothing is decided.
    precision: float | None
    # Wilson's interval for it, 95 %.
    low: float | None
    high: float | None
    first: int
    # null: to the end of the ranking.
    last: int | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class WorkerCounts:
    """Workers that have written lately."""

    # Workers, whether or not they can compute.
    alive: int
    # Processes of workers that can take a job or are computing one.
    ready: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Readiness:
    """Whether jobs can be accepted and computed now."""

    status: Literal["ready", "not_ready"]
    # null where the database cannot be reached.
    workers: WorkerCounts | None = None
    checks: Mapping[str, Check]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReconcileResult:
    """Result of reconciling: decisions that people made in the tool since the pull."""

    project: int
    # Tasks that the tool has now.
    tasks: int
    # Decisions that were new.
    recorded: int
    # Number of flagged samples by outcome; see the summary.
    outcomes: Mapping[str, int]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class RerunStarted:
    """A job that will be run again."""

    id: str
    name: str
    state: State
    progress: Progress
    # What is done, every default resolved.
    spec: JobSpec
    dataset: DatasetInfo
    # How many workers have begun it.
    attempts: int
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    error: JobError | None
    # null until there is a ranking: until the job is completed, or has a first one (`stage`: quick).
    result: JobResult | None
    # Why its loop cannot run it again; the next review tries anew. null while nothing is wrong.
    loop_trouble: str | None = None
    # How many samples carry the verdict mislabeled or anomalous; null until it is completed.
    flagged: int | None = None
    # On how many ranked samples a decision holds, its chain included.
    reviewed: int = 0
    # When the rerun starts that was asked for, unless somebody reviews meanwhile; null: none is.
    rerun_at: datetime | None = None
    # Why it cannot be run again now; null where it can.
    rerun_blocked: str | None = None
    # The last time that its samples were scored again.
    rescoring: RescoringView | None = None
    # How many ranked samples have a label that people kept or changed, or had verified before the job.
    verified: int = 0
    # Why its samples cannot be scored again now; null where they can.
    rescore_blocked: str | None = None
    links: JobLinks
    # When its rerun starts, unless somebody reviews meanwhile.
    starts_at: datetime
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReviewOutcomes:
    """Number of samples with each outcome."""

    # Of those with the verdict mislabeled or anomalous.
    flagged: Mapping[str, int]
    # Of the others, as far as somebody looked at them.
    clean: Mapping[str, int]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReviewPage:
    """All decisions that people made in a job, oldest first."""

    items: tuple[Review, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[Review]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class SignalPrecision:
    """Precision of a signal by rank."""

    name: str
    bands: tuple[RankBand, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ToolStanding:
    """When the decisions in the labelling tool were read last."""

    # When they were read, or tried to be read, last; null: never.
    reconciled_at: datetime | None
    # Why they could not be read the last time; it is tried again.
    trouble: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReviewSummary:
    """Reviews of a ranking. Each sample counts once, whichever job of the chain it was reviewed in.

    A sample that was held out of the ranking does not count.
    """

    # How many were ranked.
    samples: int
    # How many of them carry the verdict mislabeled or anomalous.
    flagged: int
    # How many of them have a decision.
    reviewed: int
    outcomes: ReviewOutcomes
    # Of what was flagged.
    precision: ReviewedShare
    by_verdict: Mapping[str, ReviewedShare]
    by_signal: tuple[SignalPrecision, ...]
    # Of what was flagged, by the day (UTC) of the decision that holds.
    over_time: tuple[DailyShare, ...]
    # null for a job whose samples came from no labelling tool.
    tool: ToolStanding | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReviewsRecorded:
    """Number of recorded decisions."""

    # How many were sent.
    recorded: int
    # How many samples of the job have a decision now.
    reviewed: int
    # By which they are undone together: POST /jobs/{id}/reviews/undo.
    batch: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class ReviewsUndone:
    """Number of samples whose earlier decision holds again."""

    restored: int
    # How many samples of the batch were decided again since, and stay as they are.
    left: int
    # By which the undoing itself is undone; null where nothing was restored.
    batch: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SampleMapView:
    """A map on which samples that the model finds similar lie together."""

    method: Literal["pca", "umap"]
    # The maps that this job has.
    methods: tuple[Literal["pca", "umap"], ...]
    # How many samples are ranked.
    samples: int
    # How many of them the map has; umap leaves most of a large dataset out.
    placed: int
    labels: tuple[str, ...]
    verdicts: tuple[str, ...]
    decisions: tuple[str, ...]
    points: MapPoints
    # Why the job has no such map; null where it has.
    note: str | None
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SessionView:
    """Who is asking, and whether people can sign in."""

    # Whether a person has signed in on the page.
    signed_in: bool
    # Name of the person or the key; null: nobody is known, or a key without a name was sent.
    name: str | None
    # What the caller sees; null: nothing.
    project: str | None
    # What the caller may do there.
    scopes: tuple[AccessScope, ...]
    # Whether `/sign-in` leads to a provider.
    offers_sign_in: bool
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class Signal:
    """One row of the table."""

    name: str
    title: str
    # What a high value means.
    high: str
    # Letters: i = training sample, j = reference sample, y = given label, c = class, t = 1..T = checkpoint, eta_t =
    # learning rate, g = gradient of the loss with respect to the layers of `influence` (influence_density: the last
    # layer), I_ij = sum_t eta_t <g_i^t, g_j^t> = TracIn influence (arXiv:2002.08484); for boosted_trees t = block of
    # ten rounds, g has one number for each leaf, (g + theta h) / sqrt(H + penalty) of i and g / sqrt(H + penalty) of
    # j in the leaf that each tree puts them in, where theta = -G / (H + penalty) and g, h, G, H are those of
    # final_loss (BoostIn, arXiv:2205.00359). z = logits, p = softmax(z), margin(v) = v_y - max_{c != y} v_c, a =
    # input of the last layer, b = input of the layer before it (a where there is none), x = b in its first 32
    # principal directions. A sample never counts for itself. Where the dataset has groups (spec.group), no sample of
    # i's group counts for i, except in what sums over whole classes (mi, relatif, gd_class, gc_own, gc_margin,
    # label_split, mahalanobis). rank = rank / n, in (0, 1]. unit = on the scale where 0 is the median and 1 the 95 %
    # quantile.
    formula: str
    source: str
    # free: from the training run alone; linear: one product a sample; pairs: every training sample against every
    # reference sample; neighbours: nearest neighbours in the model's features.
    cost: Literal["free", "linear", "pairs", "neighbours"]
    direction: Literal["higher_is_suspicious"] = "higher_is_suspicious"
    # Computed only when the job has a trusted reference.
    trusted_reference: bool = False
    # Computed only for datasets of embeddings.
    embeddings: bool = False
    # Compares the checkpoints of a training: not computed for out-of-sample predictions.
    training: bool = False
    # Also computed for out-of-sample predictions without `features`.
    predictions: bool = False
    # Reads gradients of weights: not computed for boosted trees, which have none.
    weights: bool = False
    # Computed only for boosted trees.
    trees: bool = False
    # Compares with influence after relabelling. Jobs with such a signal go over all pairs two times more.
    relabelled: bool = False
    # One of the two answers; its scores are in [0, 1].
    headline: bool = False
    # What is needed beside the logits of a model. features: inputs of its last layer.
    needs: tuple[
        Literal["reference", "pairs", "neighbours", "trusted_reference", "embeddings", "training", "features"], ...
    ]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SignalKindList:
    """All signals. The two with `headline` are always computed."""

    items: tuple[Signal, ...]
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[Signal]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class SignalView:
    """One signal over all samples of a job."""

    name: str
    title: str
    # What a high value means.
    high: str
    # Letters: i = training sample, j = reference sample, y = given label, c = class, t = 1..T = checkpoint, eta_t =
    # learning rate, g = gradient of the loss with respect to the layers of `influence` (influence_density: the last
    # layer), I_ij = sum_t eta_t <g_i^t, g_j^t> = TracIn influence (arXiv:2002.08484); for boosted_trees t = block of
    # ten rounds, g has one number for each leaf, (g + theta h) / sqrt(H + penalty) of i and g / sqrt(H + penalty) of
    # j in the leaf that each tree puts them in, where theta = -G / (H + penalty) and g, h, G, H are those of
    # final_loss (BoostIn, arXiv:2205.00359). z = logits, p = softmax(z), margin(v) = v_y - max_{c != y} v_c, a =
    # input of the last layer, b = input of the layer before it (a where there is none), x = b in its first 32
    # principal directions. A sample never counts for itself. Where the dataset has groups (spec.group), no sample of
    # i's group counts for i, except in what sums over whole classes (mi, relatif, gd_class, gc_own, gc_margin,
    # label_split, mahalanobis). rank = rank / n, in (0, 1]. unit = on the scale where 0 is the median and 1 the 95 %
    # quantile.
    formula: str
    source: str
    # free: from the training run alone; linear: one product a sample; pairs: every training sample against every
    # reference sample; neighbours: nearest neighbours in the model's features.
    cost: Literal["free", "linear", "pairs", "neighbours"]
    direction: Literal["higher_is_suspicious"] = "higher_is_suspicious"
    # Computed only when the job has a trusted reference.
    trusted_reference: bool = False
    # Computed only for datasets of embeddings.
    embeddings: bool = False
    # Compares the checkpoints of a training: not computed for out-of-sample predictions.
    training: bool = False
    # Also computed for out-of-sample predictions without `features`.
    predictions: bool = False
    # Reads gradients of weights: not computed for boosted trees, which have none.
    weights: bool = False
    # Computed only for boosted trees.
    trees: bool = False
    # Compares with influence after relabelling. Jobs with such a signal go over all pairs two times more.
    relabelled: bool = False
    # One of the two answers; its scores are in [0, 1].
    headline: bool = False
    histogram: Bins
    # By share: 0.5 is the median.
    quantiles: Mapping[str, float]
    # Spearman's, with every other signal.
    correlations: Mapping[str, float]
    # How well it found the planted glitches: precision, recall, f1 at the planted count, average_precision, auroc,
    # and authors_f1, that of the paper's evaluation, which flags one sample more; null when none were planted.
    detection: Mapping[str, float | None] | None
    # The same for each planted kind, samples of the other kinds left out.
    detection_by_kind: Mapping[str, Mapping[str, float | None]] = field(default_factory=dict)
    # What is needed beside the logits of a model. features: inputs of its last layer.
    needs: tuple[
        Literal["reference", "pairs", "neighbours", "trusted_reference", "embeddings", "training", "features"], ...
    ]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SignalList:
    """The signals of a job."""

    items: tuple[SignalView, ...]
    total: int
    # With glitches planted, for all of them and for each kind the signals that find them on this dataset and model,
    # the best average precision first; empty otherwise.
    ranking: Mapping[str, tuple[str, ...]]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[SignalView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class SkippedRow:
    """A row or file of the upload that is not in the dataset, and why."""

    # Position in the upload, 0-based.
    index: int
    # Line of the file or name in the archive: "line 17", "cat/003.jpg".
    where: str
    reason: str
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SkippedPage:
    """Skipped rows, in the order of the upload."""

    items: tuple[SkippedRow, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[SkippedRow]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class Suspect:
    """One row of a ranking."""

    # Place in the whole ranking by the signal asked for, from 1, whatever is filtered.
    rank: int
    # Place in the filtered list, from 1; the rank where nothing is filtered.
    place: int
    sample: SampleCard
    given_label: str
    suggested_label: str
    # How sure the suggested label is, from 0 to 1: a probability or only an order, as `confidence` says beside it.
    suggested_confidence: float
    # By the signal asked for; higher = more suspicious.
    score: float
    verdict: Literal["mislabeled", "anomalous", "clean", "not_judged"]
    # null unless the job planted an error here.
    planted: PlantedGlitch | None
    # What a person decided; null as long as nobody did.
    review: ReviewView | None = None
    # Every signal that was computed.
    signals: Mapping[str, float]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class SuspectPage:
    """Part of a ranking, most suspicious first; ties by index."""

    items: tuple[Suspect, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    by: str
    # quick: a first ranking of a table, by trees alone, that is there while the job still computes; it has the signal
    # `mislabeled` and no estimate. full: the ranking of the completed job, which takes its place.
    stage: Literal["quick", "full"]
    # What `suggested_confidence` is. probability: of the flagged samples with confidence p about the share p has the
    # suggested label. order: the higher, the surer, and the value is no probability.
    confidence: Literal["probability", "order"]
    # Rows of the whole job that carry the asked-for verdict.
    flagged: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[Suspect]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class UndoResult:
    """Result of undoing a requeue: numbers of tasks."""

    restored: int
    # Tasks left as they are, because somebody has annotated them again or deleted them.
    kept: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)


@dataclass(frozen=True, kw_only=True)
class VerifiedPage:
    """Sample ids, sorted."""

    items: tuple[str, ...]
    # Cursor of the next page; null on the last.
    next: str | None
    # How many items the whole list has.
    total: int
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[str]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


@dataclass(frozen=True, kw_only=True)
class VersionList:
    """Corrected versions of a dataset."""

    items: tuple[DatasetView, ...]
    total: int
    # Ids of what the dataset itself was made of, its parent first.
    ancestors: tuple[str, ...]
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __iter__(self) -> Iterator[DatasetView]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class DatasetOptions(TypedDict, total=False):
    """How an upload is read; each field that is left out is inferred."""

    # Kind of one sample.
    modality: Literal["auto", "tabular", "image", "text", "embedding", "trace", "predictions"]
    # The column that holds the class; or several columns of 0 and 1, one for each class.
    label: str | list[str] | None
    # The column that names a sample, unique.
    id: str | None
    # The column that says train, validation or test.
    split: str | None
    # The column that says which samples belong together: a patient, a session, a document. Samples of one group do
    # not vouch for each other.
    group: str | None
    # The column that says who gave the label; see GET /jobs/{id}/annotators. It is not learnt from.
    annotator: str | None
    # Texts that mean a missing value, in the label too. They count beside the usual words (NA, null, …), which are
    # read so in the features of CSV and its kin alone; an empty list turns those off.
    missing: list[str] | None
    # Labels that are one class: {"yes": ["Yes", "YES "]}, or one at a time {"Yes": "yes"}.
    merge_labels: Mapping[str, str | list[str]]
    # Whether a text table (CSV, TSV and their kin) begins with the names of its columns. false: its first row is a
    # sample, and the columns are called column_1, column_2, … Left out, it is read as if it had names, with a warning
    # where they look like data.
    header: bool | None
    # The mark before the decimals of numbers in a text table, where that was guessed wrongly.
    decimal: Literal[".", ","] | None
    # Whether 01/02/2023 is the first of February; where that was guessed wrongly.
    day_first: bool | None
    # How columns are read, where that was guessed wrongly: {"zip": "categorical"}.
    kinds: Mapping[str, Literal["numeric", "categorical", "boolean", "datetime", "time", "embedding", "image", "text"]]
    # The columns to learn from; all others when left out.
    features: list[str] | None
    # Columns not to learn from.
    exclude: list[str]
    # For the export of a labelling tool: which annotation of a sample counts. majority, latest, ground_truth (those
    # marked so, where they agree) or all (each becomes a sample). A tie is skipped.
    annotation_policy: Literal["latest", "majority", "ground_truth", "all"]


class JobOptions(TypedDict, total=False):
    """What a job is asked for; each field has a default."""

    # Left out, the training set itself serves.
    reference: Mapping[str, Any] | None
    model: str | Mapping[str, Any]
    training: Mapping[str, Any]
    influence: Mapping[str, Any]
    # Names of GET /signals; all that suit the data when left out. `mislabeled` and `anomalous` are always computed,
    # except `anomalous` for predictions without features.
    signals: list[str] | None
    glitches: list[Mapping[str, Any]] | None
    # Left out, the job is run once.
    loop: Mapping[str, Any] | None
    # Where to send a message when the job ends; left out, none is sent.
    webhook: Mapping[str, Any] | None
    name: str | None
    # Higher starts sooner, among the jobs of the project.
    priority: int
