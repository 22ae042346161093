"""Responses of audits: how many labels are wrong, measured by reviews of samples that were drawn."""

from datetime import datetime

from pydantic import BaseModel, Field

from service.actions.certify import CertificateVerdict
from service.api.schemas.confidence import CONFIDENCE, SUGGESTED_CONFIDENCE
from service.api.schemas.samples import SampleCard
from service.domain.confidence import Confidence
from service.domain.review import Review


class AuditItem(BaseModel):
    """A sample to review next. Whether it was drawn by chance is not told, so that it is judged like any other."""

    sample_id: str
    sample: SampleCard
    given_label: str = Field(description="The label that is audited.")
    suggested_label: str
    suggested_confidence: float = Field(description=SUGGESTED_CONFIDENCE)


class AuditBatchView(BaseModel):
    """Samples to review next, in the order to show them in: drawn ones, and the likeliest ones among them."""

    batch: str
    job: str = Field(description="The job whose labels are audited: the first of the chain, or this one.")
    goal: str
    confidence: Confidence = Field(description=CONFIDENCE)
    items: list[AuditItem] = Field(description="Fewer than asked for, or none, where no others are left.")


class WrongCount(BaseModel):
    """Number of labels that reviewers would call wrong."""

    estimate: float | None = Field(description="Without bias; null before the first review of a drawn sample.")
    low: int = Field(description="The interval holds with the confidence `level`, at every moment at once.")
    high: int
    at_most: int = Field(description="A bound for itself, with the same confidence; lower than `high`.")


class ReviewedCount(BaseModel):
    """Number of reviewed samples."""

    drawn: int = Field(description="Drawn by chance: the number rests on these.")
    other: int = Field(description="Chosen by their rank, or reviewed anywhere else.")


class RemainingCount(BaseModel):
    """Wrong labels among the samples that nobody reviewed."""

    at_most: int
    rate: float = Field(description="As a share of these samples, at most; 0 where none is left.")


class AuditCounts(BaseModel):
    """Measured numbers of a set of samples."""

    samples: int
    wrong: WrongCount
    found: int = Field(description="Labels that reviewers called wrong: relabelled or removed.")
    unsure: int = Field(
        description="Labels of which reviewers were not sure; they count as not wrong, see `worst_case`."
    )
    plausible: int = Field(description="Labels that can be defended, though reviewers would choose another; not wrong.")
    reviewed: ReviewedCount
    remaining: RemainingCount
    recall_at_least: float | None = Field(
        description="Share of the wrong labels that were found, at least; null while none was."
    )


class AuditStop(BaseModel):
    """Whether the reviews suffice for a goal."""

    goal: str
    reached: bool = Field(description="True: reviewing may stop, with the confidence `level`.")
    refused: bool = Field(description="Of accept: more is wrong than is accepted, with the same confidence.")
    expected_more_reviews: int | None = Field(
        description="About how many it still takes, as expected from the reviews so far; null where it is not expected to be reached."
    )


class CertificateJudge(BaseModel):
    """Who judged drawn samples."""

    reviewer: str | None = Field(description="null: it was not said who.")
    judged: int
    wrong: int = Field(description="How many of them were called wrong.")


class AuditCertificate(AuditCounts):
    """Whether at most a share of the labels is wrong, and the record that it follows from."""

    verdict: CertificateVerdict = Field(description="undecided: more reviews of drawn samples would tell.")
    share: float = Field(description="The share of wrong labels that is accepted.")
    level: float
    job: str = Field(description="The job whose labels were judged.")
    dataset: str
    dataset_name: str
    dataset_digest: str
    judges: list[CertificateJudge]
    seed: int = Field(description="Of the draws.")
    entries: int = Field(description="Of the log of draws.")
    log_digest: str = Field(
        description="SHA-256 of the log, its models and the answers; the same record gives the same one."
    )
    made_at: datetime


class LabelAudit(AuditCounts):
    """The samples with one given label."""

    label: str


class SplitAudit(AuditCounts):
    """The ranked samples of one split."""

    split: str


class TopAudit(AuditCounts):
    """The first ranks of the audited job."""

    top: int
    precision: float | None = Field(description="Estimated share of wrong labels among them.")


class RankBandProbability(BaseModel):
    """How likely the labels of some ranks of the newest ranking are wrong."""

    first: int
    last: int
    reviewed: int
    wrong: int = Field(description="Labels of them that were called wrong.")
    probability: float = Field(
        description="That a label there is wrong, as expected from the reviews of all ranks; it falls with the rank. Not a bound."
    )


class ReviewerShare(BaseModel):
    """How often a reviewer agrees with what holds now."""

    reviewer: str | None = Field(description="null: it was not said who.")
    judged: int
    shared: int = Field(description="Samples of them that others judged too.")
    agreed: int = Field(
        description="Of the shared ones: how many times the last word of this reviewer is what holds now."
    )


class DisputedSample(BaseModel):
    """A sample on which people differ."""

    sample_id: str
    said: list[Review] = Field(description="The last word of each person, in terms of the audited label.")
    holds: Review | None = Field(description="What holds now: the latest of them.")


class AuditMoment(BaseModel):
    """The interval after a number of reviews of drawn samples."""

    drawn: int
    found: int
    wrong: WrongCount


class AuditProxy(BaseModel):
    """A judge whose opinions on the labels share in the draws, and never in what is measured."""

    number: int = Field(description="From 1; the newest counts for the draws that follow.")
    name: str
    calls_right: int
    doubts: int = Field(
        description="Calls neither right nor wrong: the probability of a wrong label is above .2 and not above .5."
    )
    calls_wrong: int
    says_nothing: int = Field(description="Ranked samples without an opinion.")
    created_at: datetime


class Audit(AuditCounts):
    """How many labels of a job are wrong, by what people said and would say."""

    job: str = Field(description="The job whose labels are audited: the first of the chain, or this one.")
    level: float
    waiting: int = Field(description="Samples that were handed out and not reviewed.")
    stop: AuditStop
    next_50_expected: float = Field(
        description="Wrong labels among the next 50 of the ranking, as expected; not a bound."
    )
    by_rank: list[RankBandProbability] = Field(
        description="The score of the ranking as a probability, by the reviews: bands of ranks, narrow ones first."
    )
    precision_at: list[TopAudit] = Field(description="For each `top`.")
    labels: list[LabelAudit] = Field(description="With by=label. An interval of a label with few draws is wide.")
    splits: list[SplitAudit] = Field(description="With by=split.")
    history: list[AuditMoment] = Field(
        description="With history=true: how the interval narrowed, by the answers of today."
    )
    confirm: int = Field(description="How many people must call a label wrong before it counts.")
    unconfirmed: int = Field(description="Labels that too few people call wrong yet: they may be wrong or right.")
    reviewers: list[ReviewerShare] = Field(description="With opinions=true: those who judged, the busiest first.")
    disputed: list[DisputedSample] = Field(
        description="With opinions=true: the first 100 samples on which people differ."
    )
    proxy: AuditProxy | None = Field(None, description="The judge whose opinions share in the draws; null without one.")
    means: str = Field(description="The answer in a sentence.")
