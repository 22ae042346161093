"""Quality of the people who gave the labels of a job's dataset: how far they agree, and how many of their labels are doubted.

A label that a person gave is *doubted* where the job holds another one right: the suggested label of a sample that it calls mislabeled,
and the given label of any other. So a person who was outvoted is doubted, too, unless the job sides with them.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from service.annotators.agreement import Agreement, agreement_of
from service.annotators.excess import excess_of
from service.domain.precision import wilson
from service.domain.review import Outcome
from service.ingest.votes import Votes, read_votes
from service.services import Services
from service.store.jobs import Job
from service.store.ranking_columns import RankingColumns
from service.store.standing import OUTCOMES, Held

Array = npt.NDArray[Any]
LEVEL = 0.05
_PAIRS = 3  # of labels that are confused, for each annotator
_NAMED = 5


@dataclass(frozen=True)
class ConfusedLabels:
    """How many samples a person gave one label where the job holds another one right."""

    given: str
    suggested: str
    count: int


@dataclass(frozen=True)
class DoubtedShare:
    """A share with its 95 % interval by Wilson."""

    share: float
    low: float
    high: float


@dataclass(frozen=True)
class SharedSamples:
    """Agreement on samples that several people labelled; `corrected` is 0 where chance gives as much, None where chance gives all."""

    samples: int
    share: float
    corrected: float | None


@dataclass(frozen=True)
class AnnotatorQuality:
    """Numbers of samples that one person, or everybody together, labelled, as service.api.schemas.annotators describes them."""

    labelled: int
    doubted: int
    doubted_share: DoubtedShare | None
    reviewed: int
    wrong: int
    agreement: SharedSamples | None


@dataclass(frozen=True)
class RatedAnnotator(AnnotatorQuality):
    """One person, compared with the others."""

    annotator: str
    others_share: float | None
    chance: float | None
    stands_out: bool
    most_confused: list[ConfusedLabels]


@dataclass(frozen=True)
class RatedAnnotators:
    """Everybody, those that stand out first; `not_known` is the number of ranked samples of which nobody is known."""

    items: list[RatedAnnotator]
    overall: AnnotatorQuality
    not_known: int
    detail: str


def rate_annotators(services: Services, job: Job) -> RatedAnnotators:
    """What a completed job and its reviews say of those who labelled."""
    with services.database.read() as connection:
        ranking = services.open_rankings.get(connection, services.blobs, job.id)
        held = ranking.standing.now(connection)

    # What reviews change is counted anew: it is little, and the rest takes seconds for millions of votes.
    ballot, rated = ranking.remembered(
        "annotators", lambda: _rated(read_votes(services.blobs.votes(job.dataset_id)), ranking.columns)
    )
    return _with_reviews(rated, ballot, ranking.columns, held)


@dataclass(frozen=True)
class _Ballot:
    """The votes on ranked samples, int32 each: `sample` is the row of the ranking, classes are places in `names`."""

    sample: Array
    annotator: Array
    label: Array
    annotators: tuple[str, ...]
    names: tuple[str, ...]


def _rated(votes: Votes | None, columns: RankingColumns) -> tuple[_Ballot | None, RatedAnnotators]:
    """What the ranking alone says; the numbers of reviews are 0."""
    if votes is None:
        return None, RatedAnnotators([], AnnotatorQuality(0, 0, None, 0, 0, None), len(columns), _NOBODY)
    ballot, people = _ballot(votes, columns), len(votes.annotators)
    right = _held_right(columns)[ballot.sample]
    agreement = agreement_of(votes.index, votes.annotator, votes.label, people, len(votes.labels))
    doubted = ballot.label != right
    excess = excess_of(ballot.sample, ballot.annotator, right, doubted, people, len(ballot.names))
    confused = _most_confused(ballot, right, doubted)
    labels = np.bincount(ballot.annotator, minlength=people).tolist()
    doubts = np.bincount(ballot.annotator[doubted], minlength=people).tolist()
    items = []
    for place in range(people):
        others, chance = float(excess.others_share[place]), float(excess.chance[place])
        items.append(
            RatedAnnotator(
                **_numbers(labels[place], doubts[place]),
                agreement=_shared(agreement, place),
                annotator=votes.annotators[place],
                others_share=None if np.isnan(others) else others,
                chance=None if np.isnan(others) else chance,
                stands_out=chance <= LEVEL,
                most_confused=confused[place],
            )
        )
    items.sort(key=_order)
    overall = AnnotatorQuality(**_numbers(len(doubted), int(doubted.sum())), agreement=_shared(agreement, None))
    unknown = np.ones(len(columns), bool)
    unknown[ballot.sample] = False
    return ballot, RatedAnnotators(items, overall, int(unknown.sum()), _detail(items))


def _with_reviews(
    rated: RatedAnnotators, ballot: _Ballot | None, columns: RankingColumns, held: Held
) -> RatedAnnotators:
    if ballot is None or not (held.decisions >= 0).any():
        return rated
    votes = np.flatnonzero(held.decisions[ballot.sample] >= 0)
    row, who = ballot.sample[votes], ballot.annotator[votes]
    decided, wrong = _by_review(held.outcomes[row], ballot.label[votes], columns.given[row], columns.suggested[row])
    reviewed_by = np.bincount(who[decided], minlength=len(ballot.annotators)).tolist()
    wrong_by = np.bincount(who[wrong], minlength=len(ballot.annotators)).tolist()
    places = {name: place for place, name in enumerate(ballot.annotators)}
    items = [
        replace(one, reviewed=reviewed_by[places[one.annotator]], wrong=wrong_by[places[one.annotator]])
        for one in rated.items
    ]
    overall = replace(rated.overall, reviewed=int(decided.sum()), wrong=int(wrong.sum()))
    return replace(rated, items=items, overall=overall)


def _held_right(columns: RankingColumns) -> Array:
    """The class that the job holds right for each ranked sample."""
    return np.where(columns.with_verdict("mislabeled"), columns.suggested, columns.given)


def _order(one: RatedAnnotator) -> tuple[bool, float, int, str]:
    low = one.doubted_share.low if one.doubted_share else 0.0
    return not one.stands_out, -low, -one.labelled, one.annotator


def _ballot(votes: Votes, columns: RankingColumns) -> _Ballot:
    rows = np.minimum(np.searchsorted(columns.index, votes.index), max(0, len(columns) - 1))
    ranked = columns.index[rows] == votes.index if len(columns) else np.zeros(len(votes.index), bool)
    known = {name: place for place, name in enumerate(columns.labels)}
    # Classes that nobody but an outvoted person named are none of the ranking's.
    places = np.array([known.setdefault(name, len(known)) for name in votes.labels], np.int32)
    return _Ballot(
        sample=rows[ranked].astype(np.int32),
        annotator=votes.annotator[ranked],
        label=places[votes.label[ranked]],
        annotators=votes.annotators,
        names=tuple(known),
    )


def _by_review(outcome: Array, label: Array, given: Array, suggested: Array) -> tuple[Array, Array]:
    """Which votes a review decides, and which of those it finds wrong. Of a sample that was removed every label is wrong."""

    def among(*some: Outcome) -> Array:
        return np.isin(outcome, [OUTCOMES.index(one) for one in some])

    is_given, is_suggested = label == given, label == suggested
    removed, otherwise = among(Outcome.REMOVED), among(Outcome.RELABELLED_OTHERWISE)
    confirmed, accepted = among(Outcome.CONFIRMED), among(Outcome.RELABELLED_TO_SUGGESTION)
    # Whether a third label is the one that the reviewer chose is not looked up.
    wrong = removed | (confirmed & ~is_given) | (accepted & ~is_suggested) | (otherwise & (is_given | is_suggested))
    return removed | confirmed | accepted | (otherwise & wrong), wrong


def _numbers(labelled: int, doubted: int) -> dict[str, Any]:
    share = DoubtedShare(doubted / labelled, *wilson(doubted, labelled)) if labelled else None
    return {"labelled": labelled, "doubted": doubted, "doubted_share": share, "reviewed": 0, "wrong": 0}


def _shared(agreement: Agreement, place: int | None) -> SharedSamples | None:
    """The agreement of one person, or of everybody for None."""
    samples, share, corrected = (
        (agreement.all_samples, agreement.all_share, agreement.all_corrected)
        if place is None
        else (agreement.samples[place], agreement.share[place], agreement.corrected[place])
    )
    if not samples:
        return None
    return SharedSamples(int(samples), float(share), None if np.isnan(corrected) else float(corrected))


def _most_confused(ballot: _Ballot, right: Array, doubted: Array) -> list[list[ConfusedLabels]]:
    width = len(ballot.names)
    codes = (ballot.annotator[doubted].astype(np.int64) * width + ballot.label[doubted]) * width + right[doubted]
    pairs, counts = np.unique(codes, return_counts=True)
    found: list[list[ConfusedLabels]] = [[] for _ in ballot.annotators]
    for place in np.argsort(-counts, kind="stable").tolist():
        who, pair = divmod(int(pairs[place]), width * width)
        if len(found[who]) < _PAIRS:
            given, better = divmod(pair, width)
            found[who].append(ConfusedLabels(ballot.names[given], ballot.names[better], int(counts[place])))
    return found


_NOBODY = (
    "Nobody is known who gave these labels. Upload an export of a labelling tool that names its annotators, or name the column that says "
    "who gave the label as spec.annotator."
)


def _detail(items: list[RatedAnnotator]) -> str:
    worse = [one.annotator for one in items if one.stands_out]
    if not any(one.others_share is not None for one in items):
        return "Nobody can be compared: no two people labelled samples of the same class."
    if not worse:
        return (
            "All differences are within chance: nobody's labels are doubted more often than those of the others on samples of the same "
            "classes."
        )
    more = f" and {len(worse) - _NAMED} more" if len(worse) > _NAMED else ""
    names = ", ".join(repr(name) for name in worse[:_NAMED])
    return (
        f"More labels of {names}{more} are doubted than chance explains, compared with those of the others on samples of the same classes. "
        "A doubt is no proof: the samples may be harder ones. Review some before you draw conclusions."
    )
