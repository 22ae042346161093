"""Keeps what the tool says as reviews, beside what else was said of the same samples in any job of the chain.

Jobs over one project see the same annotations: what one of them has kept is no news to the next.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from service.domain.review import Decision, Review
from service.label_studio.push.state import PushState
from service.label_studio.reconcile.decisions import Verdict, Word, holds, verdict
from service.services import Services
from service.store import pulls, reviews
from service.store.jobs import Job
from service.store.pulls import Pull

SOURCE = "label_studio"


@dataclass(frozen=True)
class _Heard:
    """What was said last of each sample, in the words of one job.

    `mine`: by the tool, as far as this job sees all that the job saw that kept it. `told`: by the tool at all.
    `others`: all that is not `mine`.
    """

    mine: Mapping[str, Review]
    told: Mapping[str, Review]
    others: Mapping[str, Review]


def keep(
    services: Services,
    job: Job,
    pushed: Mapping[str, PushState],
    words: Mapping[str, Word],
    given: Mapping[str, str],
    classes: Sequence[str],
) -> int:
    """Write down what is new; gives how many decisions were. `given` are all samples of the job, `pushed` by job."""
    names = frozenset(classes)
    with services.database.write() as connection:
        chain = reviews.lock_chain(connection, job.id)
        seen = _seen_too(job, [pull for one in chain if (pull := pulls.get(connection, one)) is not None], pushed)
        heard = _heard(reviews.latest_by_source(connection, job.id), given, seen)
        news: list[Decision] = []
        confirmed: list[Decision] = []
        for name in sorted(words.keys() | heard.mine.keys()):
            word = words.get(name)
            decided = None if word is None else verdict(word, given[name], names)
            at = word.at if word else None
            found = holds(decided, at, heard.mine.get(name), heard.told.get(name), heard.others.get(name))
            if found is not None:
                again = _confirms(found, at, heard.told.get(name), heard.others.get(name))
                (confirmed if again else news).append(Decision(sample_id=name, decision=found[0], label=found[1]))
        written = reviews.add(connection, job.id, confirmed, SOURCE, services.now(), given=given)
        return written + reviews.add(connection, job.id, news, SOURCE, services.now(), given=given, news_only=True)


def _confirms(found: Verdict, at: datetime | None, told: Review | None, other: Review | None) -> bool:
    """Whether the tool says later what somebody else had said: of two jobs, one may see a word from between the two."""
    if at is None or other is None or other.source == SOURCE or (other.decision, other.label) != found:
        return False
    return other.created_at < at and (told is None or told.created_at < at)


def _seen_too(job: Job, chained: Iterable[Pull], pushed: Mapping[str, PushState]) -> frozenset[str]:
    """The jobs that saw nothing which this one does not see: the same pull, and no review project of their own."""
    origin = {pull.job_id: pull.origin for pull in chained}
    without = {one for one in origin if pushed.get(one, PushState()).review_project is None}
    return frozenset({job.id} | {one for one in without if origin[one] == origin.get(job.id)})


def _heard(said: Iterable[Review], given: Mapping[str, str], seen: frozenset[str]) -> _Heard:
    mine: dict[str, Review] = {}
    told: dict[str, Review] = {}
    others: dict[str, Review] = {}
    for one in said:
        name = one.sample_id
        if name not in given:
            continue
        word = one.about(given[name])
        if one.source == SOURCE:
            told[name] = word
        (mine if one.source == SOURCE and one.job in seen else others)[name] = word
    return _Heard(mine, told, others)
