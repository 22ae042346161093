"""Tools for what a job found: ranking, single samples, images, groups, samples to verify, signals, files."""

from typing import Annotated, Any

from pydantic import BaseModel, Field

from service.terminal.tools.answer import Json, PageAnswer, ToolAnswer, WrittenFile, rounded, row_of
from service.terminal.tools.arguments import (
    By,
    Cursor,
    Decided,
    Disagrees,
    Job,
    Label,
    Limit,
    MinConfidence,
    MinScore,
    Output,
    Part,
    Raw,
    Region,
    Reviewed,
    Sample,
    Search,
    Stage,
    Suggested,
    Verdict,
)
from service.terminal.tools.files import new_file, save
from service.terminal.tools.picture import picture_of
from usual_suspects.client import Client

_SIGNALS = 8  # of one sample
_WITNESSES = 5
_MOST_IMAGES = 16
_SURE = "The probability that the suggestion is right; null where the job knows only which suggestions are surer than others."


class SampleInShort(BaseModel):
    """A sample in short."""

    sample: str = Field(description="Id of the sample.")
    given_label: str
    suggested_label: str
    confidence: float | None = Field(description=_SURE)
    values: dict[str, Any] = Field(description="Columns, text, or path and size of an image; long ones are cut.")


class SuspectRow(SampleInShort):
    """One row of a ranking."""

    rank: int
    score: float = Field(description="Higher is more suspicious.")
    verdict: str
    decision: str | None = Field(None, description="What somebody decided; null: nobody has yet.")
    decided_label: str | None = None
    planted_label: str | None = Field(None, description="The right label of an error that the job planted.")
    signals: dict[str, float] | None = Field(None, description="Those that were asked for.")


class SuspectsAnswer(PageAnswer[SuspectRow]):
    """Part of a ranking, most suspicious first."""

    by: str
    flagged: int = Field(description="Samples of the whole job with the verdict that belongs to `by`.")


class InfluenceRow(BaseModel):
    """A reference sample, and how far training on this one lowered (positive) or raised its loss."""

    sample: str
    label: str
    influence: float


class RankOfSignal(BaseModel):
    """Value of a signal, and its rank: 1 is the most suspicious."""

    value: float
    rank: int


class SampleAnswer(ToolAnswer):
    """Everything that speaks for and against the label of a sample."""

    sample: str
    given_label: str
    suggested_label: str | None = None
    confidence: float | None = Field(None, description=_SURE)
    verdict: str | None = None
    held_out: bool = Field(description="Whether it was kept out of the ranking, as reference.")
    reason: str = Field(description="The evidence in words.")
    decision: str | None = None
    decided_label: str | None = None
    values: dict[str, Any]
    signals: dict[str, RankOfSignal] = Field(description="The eight by which it is most suspicious.")
    supporting: list[InfluenceRow] = Field(description="Reference samples that training on this one helped most.")
    opposing: list[InfluenceRow] = Field(description="Reference samples that training on this one hurt most.")


class ImagesAnswer(ToolAnswer):
    """Images in the order in which they were asked for; their content stands beside."""

    samples: list[str]


class PartRow(BaseModel):
    """One of the two parts of a label."""

    part: str = Field(description="tighter or looser; with the label, a filter of `suspects`.")
    size: int
    leans_to: str | None = Field(description="The other label that is nearest to it; null: its own alone is near.")
    lean: float = Field(description="How strongly, 0 to 1.")
    samples: list[str] = Field(description="The most typical, as many as were asked for, 50 at most.")


class GroupRow(BaseModel):
    """Both parts of a label. One of them can be one mistake, made many times; size and samples are those of the tighter one."""

    label: str
    size: int
    separation: float
    gap: float = Field(description="Near 1 for two clusters, 0.64 for one that was cut in its middle.")
    samples: list[str] = Field(description="The most typical, as many as were asked for.")
    parts: list[PartRow] = Field(description="Both; empty for a job of an earlier version.")


class GroupsAnswer(PageAnswer[GroupRow]):
    """Groups, the best separated first."""

    note: str | None = None


class CandidateRow(SampleInShort):
    """A sample whose label is worth verifying."""

    why: str


class CandidatesAnswer(PageAnswer[CandidateRow]):
    """Samples to verify."""

    note: str | None = None


class SignalRow(BaseModel):
    """A signal."""

    name: str
    title: str
    high: str = Field(description="What a high value means.")
    detection: dict[str, float | None] | None = Field(
        None, description="How well it finds the errors that were planted."
    )


def _sample(item: Json, answer: Json) -> dict[str, Any]:
    return {
        "sample": item["sample"]["id"],
        "given_label": item["given_label"],
        "suggested_label": item["suggested_label"],
        "confidence": _confidence(item, answer),
        "values": row_of(item["sample"]["preview"]),
    }


def _confidence(item: Json, answer: Json) -> float | None:
    return rounded(item["suggested_confidence"]) if answer["confidence"] == "probability" else None


def _decision(item: Json) -> dict[str, Any]:
    review = item["review"] or {}
    return {"decision": review.get("decision"), "decided_label": review.get("label")}


def suspects(
    client: Client,
    job: Job,
    by: By = "mislabeled",
    label: Label = None,
    suggested: Suggested = None,
    verdict: Verdict = None,
    min_score: MinScore = None,
    part: Part = None,
    min_confidence: MinConfidence = None,
    disagrees: Disagrees = None,
    reviewed: Reviewed = None,
    decision: Decided = None,
    q: Search = None,
    region: Region = None,
    stage: Stage = None,
    signals: Annotated[list[str] | None, Field(description="Signals to show of each row: si, aai, …")] = None,
    limit: Limit = 20,
    cursor: Cursor = None,
    offset: Annotated[int | None, Field(ge=0, description="Place in the filtered list to begin at, from 0.")] = None,
    ids: Annotated[
        list[str] | None, Field(min_length=1, max_length=200, description="Only these samples, all at once.")
    ] = None,
) -> SuspectsAnswer:
    """List the most suspicious samples of a completed job, with given and suggested label, score and values."""
    wanted = {
        "label": label, "suggested": suggested, "verdict": verdict, "min_score": min_score, "part": part,
        "min_confidence": min_confidence, "disagrees": disagrees, "reviewed": reviewed, "decision": decision, "q": q, "region": region, "stage": stage,
    }  # fmt: skip
    shown = {"offset": offset, "signals": ",".join(signals or ()) or None, "ids": ",".join(ids) if ids else None}
    answer = client.get("jobs", job, "suspects", by=by, limit=limit, cursor=cursor, **wanted, **shown)
    rows = [
        SuspectRow(
            **_sample(item, answer),
            **_decision(item),
            rank=item["rank"],
            score=rounded(item["score"]),
            verdict=item["verdict"],
            planted_label=(item["planted"] or {}).get("original_label"),
            signals=rounded(item["signals"]) if signals else None,
        )
        for item in answer["items"]
    ]
    return SuspectsAnswer(items=rows, **{name: answer[name] for name in ("total", "next", "by", "flagged")})


def sample(
    client: Client,
    job: Job,
    sample: Sample,
    image: Annotated[bool, Field(description="Also show its image.")] = False,
) -> SampleAnswer:
    """Show one sample: the evidence in words, its signals, and the samples that training on it helped and hurt most."""
    found = client.get("jobs", job, "samples", sample)
    ranked = sorted(found["signals"].items(), key=lambda item: item[1]["rank"])[:_SIGNALS]
    answer = SampleAnswer(
        sample=found["id"],
        given_label=found["given_label"],
        suggested_label=found["suggested_label"],
        confidence=_confidence(found, found),
        verdict=found["verdict"],
        held_out=found["held_out"],
        reason=found["reason"],
        **_decision(found),
        values=row_of(found["features"]),
        signals={name: RankOfSignal(value=rounded(one["value"]), rank=one["rank"]) for name, one in ranked},
        supporting=_influences(found["supporting"]),
        opposing=_influences(found["opposing"]),
    )
    return answer.with_pictures([picture_of(client, sample, found["links"]["media"])]) if image else answer


def _influences(items: list[dict[str, Any]]) -> list[InfluenceRow]:
    return [
        InfluenceRow(sample=one["id"], label=one["label"], influence=rounded(one["influence"]))
        for one in items[:_WITNESSES]
    ]


def images(
    client: Client,
    job: Job,
    samples: Annotated[list[str], Field(min_length=1, max_length=_MOST_IMAGES, description="Ids of samples.")],
) -> ImagesAnswer:
    """Show the images of several samples of a job at once, in their order."""
    dataset = client.get("jobs", job)["spec"]["dataset"]
    media = [client.get("datasets", dataset, "samples", one)["links"]["media"] for one in samples]
    pictures = [picture_of(client, one, path) for one, path in zip(samples, media, strict=True)]
    return ImagesAnswer(samples=samples).with_pictures(pictures)


def groups(
    client: Client,
    job: Job,
    samples: Annotated[int, Field(ge=1, le=1000, description="Number of sample ids of each group.")] = 20,
) -> GroupsAnswer:
    """List both parts of each label and the label that each leans to. Look at samples of both: one can be a mistake made many times."""
    answer = client.get("jobs", job, "groups")
    rows = [
        GroupRow(
            label=one["label"],
            size=one["size"],
            separation=rounded(one["separation"]),
            gap=rounded(one["gap"]),
            samples=one["sample_ids"][:samples],
            parts=[
                PartRow(
                    **{name: part[name] for name in ("part", "size", "leans_to")},
                    lean=rounded(part["lean"]),
                    samples=part["sample_ids"][:samples],
                )
                for part in one["parts"]
            ],
        )
        for one in answer["items"]
    ]
    return GroupsAnswer(items=rows, total=answer["total"], note=answer["note"])


def verify_next(
    client: Client, job: Job, count: Annotated[int, Field(ge=1, le=1000, description="Number of samples.")] = 20
) -> CandidatesAnswer:
    """List the samples whose verification helps most. The ids of those found right make `reference.samples` of the next job."""
    answer = client.get("jobs", job, "verify-next", count=count)
    rows = [CandidateRow(**_sample(item, answer), why=item["why"]) for item in answer["items"]]
    return CandidatesAnswer(items=rows, total=answer["total"], note=answer["note"])


def signals(
    client: Client, job: Annotated[str | None, Field(description="Id of a job: job_…; left out: all signals.")] = None
) -> PageAnswer[SignalRow]:
    """List the signals and what a high value means; of a job with planted errors, how well each one finds them."""
    answer = client.get("jobs", job, "signals") if job else client.get("signals")
    rows = [SignalRow.model_validate(rounded(one)) for one in answer["items"]]
    return PageAnswer[SignalRow](items=rows, total=answer["total"])


def export(
    client: Client,
    job: Job,
    output: Output,
    format: Annotated[  # noqa: A002 - the name that the API has
        str, Field(description="csv, jsonl, parquet, or the format of a labelling tool, such as label_studio.")
    ] = "csv",
    by: By = "mislabeled",
    label: Label = None,
    suggested: Suggested = None,
    verdict: Verdict = None,
    min_score: MinScore = None,
    part: Part = None,
    min_confidence: MinConfidence = None,
    disagrees: Disagrees = None,
    reviewed: Reviewed = None,
    decision: Decided = None,
    q: Search = None,
    region: Region = None,
    stage: Stage = None,
    raw: Raw = False,
) -> WrittenFile:
    """Write a whole ranking, or what the filters leave of it, to a file."""
    wanted: dict[str, Any] = {
        "label": label, "suggested": suggested, "verdict": verdict, "min_score": min_score, "part": part,
        "min_confidence": min_confidence, "disagrees": disagrees, "reviewed": reviewed, "decision": decision, "q": q, "region": region, "stage": stage,
        "raw": raw or None,
    }  # fmt: skip
    return save(client, new_file(output), "jobs", job, "suspects", format=format, by=by, **wanted)


def report(client: Client, job: Job, output: Output) -> WrittenFile:
    """Write the report of a completed job for people: Markdown where the path ends with .md, else an HTML page with charts."""
    path = new_file(output)
    return save(client, path, "jobs", job, "report", format="md" if path.suffix == ".md" else "html")
