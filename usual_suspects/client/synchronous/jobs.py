"""A job of the service."""

import tempfile
import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, overload

from usual_suspects.client.conversion import to_model
from usual_suspects.client.errors import Conflict, Invalid, JobCancelled, JobFailed, WaitedTooLong
from usual_suspects.client.events import ENDED, Update
from usual_suspects.client.models import (
    AnnotatorList,
    CandidateList,
    ConfusionView,
    DatasetInfo,
    GroupList,
    IssueList,
    JobDiff,
    JobResult,
    JobSample,
    JobView,
    LineageList,
    PushResult,
    ReconcileResult,
    RescoringView,
    Review,
    ReviewsRecorded,
    ReviewSummary,
    ReviewsUndone,
    SignalList,
    UndoResult,
)
from usual_suspects.client.names import sample_name
from usual_suspects.client.progress import progress_bar
from usual_suspects.client.requests import Request, act, create, delete, get
from usual_suspects.client.reviews import at_given_places, decisions_of
from usual_suspects.client.submissions.prepared import Origin
from usual_suspects.client.synchronous.audits import Audits
from usual_suspects.client.synchronous.datasets import Dataset
from usual_suspects.client.synchronous.pages import Pages, model
from usual_suspects.client.synchronous.suspects import Suspects
from usual_suspects.client.synchronous.transport import Transport
from usual_suspects.client.synchronous.waiting import pause, work

_POLL_S = 1.0


class Job(Audits):
    """A job of the service, as it was when it was read last; `view` is all of it."""

    def __init__(self, transport: Transport, view: JobView, origin: Origin | None = None) -> None:
        self._transport, self.view, self.origin = transport, view, origin

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.name!r}: {self.state}>"

    @property
    def id(self) -> str:
        """Its id: job_…."""
        return self.view.id

    @property
    def name(self) -> str:
        """Its name in lists."""
        return self.view.name

    @property
    def state(self) -> str:
        """queued, preparing, training, scoring, ranking, completed, failed or cancelled, when it was read last."""
        return self.view.state

    @property
    def result(self) -> JobResult | None:
        """Accuracies, estimates, signals and warnings; None until it has a ranking. While it runs, that is a first one (`stage`: quick)."""
        return self.view.result

    @property
    def dataset(self) -> Dataset:
        """The dataset that it ranks."""
        return Dataset(self._transport, self.view.dataset, self.origin)

    def refresh(self) -> "Job":
        """Read it anew. Raises ApiError."""
        self.view = to_model(JobView, self._transport.send(get("jobs", self.id)))
        return self

    def watch(self, timeout: float | None = None) -> Generator[Update]:
        """Its events until it ends, over broken connections. Raises ApiError, and WaitedTooLong after `timeout` seconds."""
        with closing(self._transport.watch(self.id, timeout)) as updates:
            for update in updates:
                yield update

    def wait(self, timeout: float | None = None, *, progress: bool | None = None) -> "Job":
        """The job once it is completed, with a progress bar meanwhile.

        `progress` None shows a bar at a terminal or in a notebook. Raises JobFailed with the reason, JobCancelled, WaitedTooLong after
        `timeout` seconds, and ApiError.
        """
        if self.state not in ENDED:
            with progress_bar(self.id, progress) as bar:
                with closing(self._transport.watch(self.id, timeout)) as updates:
                    for update in updates:
                        bar.show(update)
            self.refresh()
        if self.state == "failed":
            error = self.view.error
            raise JobFailed(
                self.id, error.code if error else "unknown", error.detail if error else "no reason is known"
            )
        if self.state == "cancelled":
            raise JobCancelled(f"{self.id} was cancelled", "retry() queues it again")
        return self

    def cancel(self) -> "Job":
        """Cancel it. Raises Conflict once it has ended."""
        return self._changed(act("jobs", self.id, "cancel"))

    def retry(self) -> "Job":
        """Queue it again after it failed or was cancelled. Raises Conflict in another state."""
        return self._changed(act("jobs", self.id, "retry"))

    def rerun(self, timeout: float | None = 600, *, now: bool = True) -> "Job":
        """The job that follows, over the dataset as the reviews correct it, once the service has begun it.

        That is within seconds, or, without `now`, once nobody has reviewed for a minute. Raises Conflict with the reason where it cannot
        be run again, WaitedTooLong after `timeout` seconds.
        """
        self._changed(act("jobs", self.id, "rerun", body={"now": now}))
        begun = time.monotonic()
        while self.view.links.next is None:
            if self.view.loop_trouble:
                raise Conflict("The job cannot be run again", self.view.loop_trouble)
            if timeout is not None and time.monotonic() - begun > timeout:
                raise WaitedTooLong(
                    "Not begun in time", f"the job after {self.id} had not begun after {timeout:g} seconds"
                )
            pause(_POLL_S)
            self.refresh()
        following = get("jobs", self.view.links.next.rpartition("/")[2])
        return Job(self._transport, to_model(JobView, self._transport.send(following)), self.origin)

    def rescore(self, timeout: float | None = 600) -> "Job":
        """Score its samples again by those that people have verified, without a training, and wait for it.

        Raises Conflict with the reason where it cannot be done, WaitedTooLong after `timeout` seconds.
        """
        asked = to_model(RescoringView, self._transport.send(act("jobs", self.id, "rescore")))
        begun = time.monotonic()
        self.refresh()
        while (told := self.view.rescoring) is None or told.state in ("queued", "running"):
            if timeout is not None and time.monotonic() - begun > timeout:
                raise WaitedTooLong("Not done in time", f"{self.id} was not scored again after {timeout:g} seconds")
            pause(_POLL_S)
            self.refresh()
        if told.state == "failed" and told.version >= asked.version:
            raise Conflict(
                "The samples cannot be scored again", told.error.detail if told.error else "no reason is known"
            )
        return self

    def lineage(self) -> LineageList:
        """The jobs before and after it, from the first dataset to its corrected versions. Raises ApiError."""
        return to_model(LineageList, self._transport.send(get("jobs", self.id, "lineage")))

    def delete(self) -> None:
        """Delete it with its ranking and reviews. Raises Conflict until it has ended."""
        self._transport.send(delete("jobs", self.id))

    def suspects(
        self,
        by: str = "mislabeled",
        *,
        label: str | None = None,
        suggested: str | None = None,
        verdict: str | None = None,
        min_score: float | None = None,
        min_confidence: float | None = None,
        disagrees: bool | None = None,
        reviewed: bool | None = None,
        decision: str | None = None,
        search: str | None = None,
        part: str | None = None,
        stage: str | None = None,
        signals: Sequence[str] | None = None,
        limit: int | None = None,
    ) -> Suspects:
        """The ranking by a signal, filtered: to be iterated over, as a table, or to be decided on as a whole.

        `search` is part of an id or text; `disagrees` asks for a suggested label that is not the given one; `part` is "tighter" or
        "looser", as `groups` has the two parts of each label; `stage` is "quick" for the first ranking of a table. `signals` are the columns of signals, all if None.
        """
        filters = {
            "by": by,
            "label": None if label is None else self._class(label),
            "suggested": None if suggested is None else self._class(suggested),
            "verdict": verdict,
            "min_score": min_score,
            "min_confidence": min_confidence,
            "disagrees": disagrees,
            "reviewed": reviewed,
            "decision": decision,
            "q": search,
            "part": part,
            "stage": stage,
        }
        return Suspects(self._transport, self.id, filters, limit, signals, self._class)

    def sample(self, sample: Any) -> JobSample:
        """Everything about one sample, by its id or its value in the index of the frame. Raises ApiError."""
        name = sample_name(sample, self.origin)
        return to_model(JobSample, self._transport.send(get("jobs", self.id, "samples", name)))

    def signals(self) -> SignalList:
        """The signals that it computed, with their distributions. Raises ApiError."""
        return to_model(SignalList, self._transport.send(get("jobs", self.id, "signals")))

    def groups(self) -> GroupList:
        """Both parts of each label, and the label that each leans to. Raises ApiError."""
        return to_model(GroupList, self._transport.send(get("jobs", self.id, "groups")))

    def issues(self, type: str | None = None, *, samples: int = 20) -> IssueList:  # noqa: A002 - the API's name
        """What is wrong in its data beside labels, of each type as many `samples`; `type` is one alone. Raises ApiError."""
        request = get("jobs", self.id, "issues", type=type, limit=samples)
        return to_model(IssueList, self._transport.send(request))

    def verify_next(self, count: int = 50) -> CandidateList:
        """The samples whose verification would help most. Raises ApiError."""
        return to_model(CandidateList, self._transport.send(get("jobs", self.id, "verify-next", count=count)))

    def diff(self, other: "Job | str | None" = None, *, by: str = "mislabeled", limit: int = 50) -> JobDiff:
        """What differs from another job; without one, from the job whose reviews made the dataset. Raises ApiError."""
        name = other.id if isinstance(other, Job) else other
        return to_model(JobDiff, self._transport.send(get("jobs", self.id, "diff", other=name, by=by, limit=limit)))

    @overload
    def report(self, path: None = None, format: str = "html") -> str: ...

    @overload
    def report(self, path: str | Path, format: str = "html") -> Path: ...

    def report(self, path: str | Path | None = None, format: str = "html") -> str | Path:  # noqa: A002 - the API's name
        """The report as HTML or Markdown (`md`); with `path` it is written there, and the path is given back. Raises ApiError."""
        request = get("jobs", self.id, "report", format=format)
        with self._transport.opened(request) as blocks:
            text = b"".join([block for block in blocks]).decode()
        if path is None:
            return text
        work(Path(path).write_text, text, encoding="utf-8")
        return Path(path)

    def review(
        self, samples: Any, decision: str | None = None, label: Any = None, *, reviewer: str | None = None
    ) -> ReviewsRecorded:
        """Say what is right: `relabel` (to `label`), `keep`, `remove`, `plausible`, `unsure` or `withdraw`.

        `samples` is an id, several ids, or rows, or a frame, with sample_id and, where they differ, decision, label and reviewer; rows
        without a decision are left out. Ids and labels may be values of the submitted data. Of more than 10,000 decisions, each 10,000
        are recorded together, and `batch` is that of the last. For all samples of a filter see `suspects().review()`. Raises Invalid,
        with the places in what was given.
        """
        recorded, shared = 0, {"decision": decision, "label": label, "reviewer": reviewer}
        for part, places in decisions_of(samples, shared, partial(sample_name, origin=self.origin), self._class):
            try:
                answer = to_model(ReviewsRecorded, self._transport.send(create(part, "jobs", self.id, "reviews")))
            except Invalid as error:
                raise at_given_places(error, places) from error
            recorded += answer.recorded
        return replace(answer, recorded=recorded)

    def undo(self, batch: str, reviewer: str | None = None) -> ReviewsUndone:
        """Take back what was decided in one request, by the `batch` of its answer; what was decided again since stays."""
        body = {"batch": batch} if reviewer is None else {"batch": batch, "reviewer": reviewer}
        return to_model(ReviewsUndone, self._transport.send(act("jobs", self.id, "reviews", "undo", body=body)))

    def confusion(self, *, verdict: str | None = None, reviewed: bool | None = None, limit: int = 100) -> ConfusionView:
        """Given against suggested labels, the commonest pairs first. Raises ApiError."""
        request = get("jobs", self.id, "confusion", verdict=verdict, reviewed=reviewed, limit=limit)
        return to_model(ConfusionView, self._transport.send(request))

    def annotators(self, *, limit: int = 1000) -> AnnotatorList:
        """How many labels of each person who labelled are doubted, and how far people agree. Raises ApiError."""
        return to_model(AnnotatorList, self._transport.send(get("jobs", self.id, "annotators", limit=limit)))

    def reviews(self) -> Pages[Review]:
        """Every decision that was given to it, the oldest first."""
        return Pages(self._transport, get("jobs", self.id, "reviews"), model(Review))

    def review_summary(self) -> ReviewSummary:
        """How right the ranking was. Raises ApiError."""
        return to_model(ReviewSummary, self._transport.send(get("jobs", self.id, "reviews", "summary")))

    def version(self, apply: str = "reviews") -> Dataset:
        """The corrected dataset, made unless the same is there. `apply` suggestions also applies what the job suggests."""
        return self.dataset.make_version(self.id, apply)

    def corrected(
        self,
        data: Any = None,
        *,
        apply: str = "reviews",
        format: str | None = None,  # noqa: A002 - as elsewhere in the API
        path: str | Path | None = None,
        transform: Any = None,
    ) -> Any:
        """The corrected data in the form that was submitted: a frame in, a frame out, with its index and types.

        A torch Dataset, or a folder of images, comes back as a torch Dataset; `transform` is for the images of a folder. In another
        session than that of the submission give either of them as `data`. `format` is one of pandas, polars, arrow, numpy, datasets,
        torch, folder, or of a file: original, csv, parquet, jsonl, manifest, zip, path. A file is written to `path`, in the form of its
        ending unless `format` says another, and the path is given back; if None, it is the name of the upload with `.corrected` before its
        ending, in this folder. `apply` suggestions also applies what the job suggests. Where nothing was changed, that is what was
        submitted. Raises UnsuitableData, ApiError.
        """
        from usual_suspects.client import corrected_files, corrections  # pyarrow, which requests alone do not need

        version = self._version_or_dataset(apply)
        dataset = to_model(DatasetInfo, self._transport.send(get("datasets", self.view.dataset.id)))
        plan = corrections.plan(format, path, self.origin, data, dataset)
        with tempfile.TemporaryDirectory() as folder:
            unknown = format is None and path is None and self.origin is None and data is None
            if unknown and dataset.inferred.format.startswith("parquet"):
                # The file itself says whether a client of another session wrote it, and from what.
                found = version.download(Path(folder, "data.parquet"))
                marked = work(corrections.marked_form, found)
                if marked is not None:
                    return work(corrections.read, found, corrections.Correction(Origin(marked), "original"))
            if isinstance(plan, str):
                return version.download(path or corrected_files.default_path(plan, dataset), plan)
            file = version.download(Path(folder, f"data{plan.suffix}"), plan.format, raw=True)
            return work(corrections.read, file, plan, transform)

    def _version_or_dataset(self, apply: str) -> Dataset:
        try:
            return self.version(apply)
        except Invalid as error:
            if "nothing_to_apply" not in error.members:
                raise
            return self.dataset

    def push(self, mode: str = "predictions", *, limit: int | None = None, dry_run: bool = False) -> PushResult:
        """Write suspects back into the labelling tool: predictions, tab, review_project or requeue. Raises ApiError."""
        body = {"mode": mode, "dry_run": dry_run, **({} if limit is None else {"limit": limit})}
        return to_model(PushResult, self._transport.send(act("jobs", self.id, "push", body=body)))

    def undo_push(self) -> UndoResult:
        """Take tasks out of the tool's queue again. Raises ApiError."""
        return to_model(UndoResult, self._transport.send(act("jobs", self.id, "push", "undo")))

    def reconcile(self) -> ReconcileResult:
        """Read what people decided in the labelling tool. Raises ApiError."""
        return to_model(ReconcileResult, self._transport.send(act("jobs", self.id, "reconcile")))

    def _changed(self, request: Request) -> "Job":
        self.view = to_model(JobView, self._transport.send(request))
        return self
