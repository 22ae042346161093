"""Records changes in Label Studio as reviews, without repeating what any job of the chain has recorded.

Jobs over one project see the same annotations: a change that one of them recorded is not new to the next.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain.review import Decision, Review
from service.label_studio.push.push_state import PushState
from service.label_studio.reconcile.changes import DecisionValue, SampleChange, decision_of, standing_decision
from service.services import Services
from service.store import pulls, reviews
from service.store.jobs import Job
from service.store.pulls import Pull

SOURCE = "label_studio"


@dataclass(frozen=True)
class _LatestReviews:
    """The last review of each sample, with labels as one job has them.

    `recorded`: from the tool, by a job that saw nothing which this job does not see. `from_tool`: from the tool, by any job.
    `from_others`: all that are not `recorded`.
    """

    recorded: Mapping[str, Review]
    from_tool: Mapping[str, Review]
    from_others: Mapping[str, Review]


def record_changes(
    services: Services,
    job: Job,
    pushes: Mapping[str, PushState],
    changes: Mapping[str, SampleChange],
    given: Mapping[str, str],
    classes: Sequence[str],
) -> int:
    """Record the new decisions; returns their number.

    `changes` and `given`, the class of every sample of the job, are by sample; `pushes` are by job.
    """
    names = frozenset(classes)
    with services.database.write() as connection:
        chain = reviews.lock_chain(connection, job.id)
        same_view = _jobs_with_same_view(
            job, [pull for one in chain if (pull := pulls.get(connection, one)) is not None], pushes
        )
        latest = _latest(reviews.latest_by_source(connection, job.id), given, same_view)
        new: list[Decision] = []
        confirmed: list[Decision] = []
        for name in sorted(changes.keys() | latest.recorded.keys()):
            change = changes.get(name)
            decided = None if change is None else decision_of(change, given[name], names)
            at = change.at if change else None
            from_tool, from_others = latest.from_tool.get(name), latest.from_others.get(name)
            found = standing_decision(decided, at, latest.recorded.get(name), from_tool, from_others)
            if found is not None:
                repeats = _confirms(found, at, from_tool, from_others)
                (confirmed if repeats else new).append(Decision(sample_id=name, decision=found[0], label=found[1]))
        written = reviews.add(connection, job.id, confirmed, SOURCE, services.now(), given=given)
        return written + reviews.add(connection, job.id, new, SOURCE, services.now(), given=given, skip_unchanged=True)


def _confirms(found: DecisionValue, at: datetime | None, from_tool: Review | None, from_others: Review | None) -> bool:
    """Whether the tool repeats a decision from elsewhere later. It is recorded: a job may see one from between the two."""
    if at is None or from_others is None or from_others.source == SOURCE:
        return False
    if (from_others.decision, from_others.label) != found:
        return False
    return from_others.created_at < at and (from_tool is None or from_tool.created_at < at)


def _jobs_with_same_view(job: Job, chain: Iterable[Pull], pushes: Mapping[str, PushState]) -> frozenset[str]:
    """The jobs that saw nothing which this job does not see: of the same pull, and without a review project."""
    origin = {pull.job_id: pull.origin for pull in chain}
    without = {one for one in origin if pushes.get(one, PushState()).review_project is None}
    return frozenset({job.id} | {one for one in without if origin[one] == origin.get(job.id)})


def _latest(latest: Iterable[Review], given: Mapping[str, str], same_view: frozenset[str]) -> _LatestReviews:
    recorded: dict[str, Review] = {}
    from_tool: dict[str, Review] = {}
    from_others: dict[str, Review] = {}
    for one in latest:
        name = one.sample_id
        if name not in given:
            continue
        review = one.about(given[name])
        if one.source == SOURCE:
            from_tool[name] = review
        (recorded if one.source == SOURCE and one.job in same_view else from_others)[name] = review
    return _LatestReviews(recorded, from_tool, from_others)
