"""A map of the samples of a job: where they lie, of a part of them that is small enough to be drawn."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from service.actions.find import find_dataset_of_job
from service.domain.region import MAP_METHODS, MapMethod
from service.domain.verdict import FLAGGED
from service.services import Services
from service.store import rankings
from service.store.jobs import Job
from service.store.ranking_columns import RankingColumns
from service.store.standing import DECISIONS

Array = npt.NDArray[Any]
_BARE = "Predictions without features do not tell which samples are alike. Upload features beside pred_probs."
_EARLIER = "This ranking was made by an earlier version, which kept no map. Run the job again to get one."
_NO_UMAP = (
    "The worker that ranked this job had no umap-learn. Install usual-suspects[umap] there and run the job again."
)
_MIXED = np.uint64(0x9E3779B97F4A7C15)


@dataclass(frozen=True)
class SampleMap:
    """Some of the placed samples of a ranking, one a row, ascending by their place in the upload.

    `label` and `suggested` are places in `labels`, `verdict` in `verdicts`, `decision` in DECISIONS or -1 for none. `methods` are the
    maps that the job has; `note` says why the asked one is not among them.
    """

    methods: list[MapMethod]
    samples: int
    placed: int
    labels: list[str]
    verdicts: list[str]
    decisions: list[str]
    ids: list[str]
    coordinates: Array
    label: Array
    suggested: Array
    verdict: Array
    decision: Array
    note: str | None = None


def map_samples(services: Services, job: Job, method: MapMethod, limit: int) -> SampleMap:
    """At most `limit` samples of a completed job; which ones does not change between two requests.

    Every flagged one as long as they fill three quarters, and of the rest the same share of each class, but at least a few.
    """
    with services.database.read() as connection:
        ranking = services.open_rankings.get(connection, services.blobs, job.id)
        columns = ranking.columns
        methods = [one for one in MAP_METHODS if columns.coordinates(one) is not None]
        coordinates = columns.coordinates(method)

        def draw() -> tuple[Array, int, list[str]]:
            if coordinates is None:
                return np.zeros(0, np.int64), 0, []
            there = ~np.isnan(coordinates[:, 0])
            order = columns.order(connection, job.id, "mislabeled")
            rows = rows_to_draw(columns, np.flatnonzero(there), order, limit)
            return rows, int(there.sum()), rankings.ids_by_index(connection, job.id, columns.index[rows].tolist())

        rows, placed, ids = ranking.remembered(("map", method, limit), draw)
        decisions = ranking.standing.decisions(connection)[rows]
    return SampleMap(
        methods=methods,
        samples=len(columns),
        placed=placed,
        labels=list(columns.labels),
        verdicts=list(columns.verdicts),
        decisions=list(DECISIONS),
        ids=ids,
        coordinates=np.zeros((0, 2)) if coordinates is None else coordinates[rows],
        label=columns.given[rows],
        suggested=columns.suggested[rows],
        verdict=columns.verdict[rows],
        decision=decisions,
        note=None if coordinates is not None else _why_not(services, job, methods),
    )


def rows_to_draw(columns: RankingColumns, rows: Array, order: Array, limit: int) -> Array:
    """Those of `rows` that are drawn, ascending; `order` has the rows of the columns, most suspicious first."""
    if len(rows) <= limit:
        return rows
    flags = np.isin(columns.verdict, [place for place, name in enumerate(columns.verdicts) if name in FLAGGED])
    among = np.zeros(len(columns), bool)
    among[rows] = True
    chosen = np.zeros(len(columns), bool)
    flagged = order[flags[order] & among[order]]
    chosen[flagged[: limit * 3 // 4]] = True
    rest = rows[~flags[rows]]
    room = limit - int(chosen.sum())
    # Hashed by their place in the upload, so that the order of the rows says nothing.
    mixed = (columns.index[rest].astype(np.uint64) + np.uint64(1)) * _MIXED
    given = columns.given[rest]
    by_class = np.lexsort((mixed, given))
    sizes = np.bincount(given, minlength=len(columns.labels))
    turn = np.arange(len(rest)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    # The first few of each class, then the same share of every class.
    few = max(1, room // (4 * max(1, int((sizes > 0).sum()))))
    share = (turn + 1) / np.repeat(sizes, sizes)
    chosen[rest[by_class[np.lexsort((share, turn >= few))[:room]]]] = True
    return np.flatnonzero(chosen)


def _why_not(services: Services, job: Job, methods: list[MapMethod]) -> str:
    if find_dataset_of_job(services, job).is_bare:
        return _BARE
    return _NO_UMAP if methods else _EARLIER
