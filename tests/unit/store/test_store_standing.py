"""Kept counts of decisions: after every kind of change they are what counting all reviews gives, on SQLite and on PostgreSQL."""

import random
from collections import Counter
from datetime import timedelta

import numpy as np

from service.domain.review import BulkDecision, Decision, Outcome, review_outcome
from service.store import jobs, loops, outcomes, reviews
from service.store.blobs import Blobs
from service.store.engine import Database
from service.store.open_rankings import OpenRankings
from service.store.standing import DECISIONS
from tests.builders import NOON, add_dataset, add_job, finish

ROWS, TRAIN = 24, 18
KINDS = ("keep", "relabel", "remove", "plausible", "unsure", "withdraw")


def test_kept_counts_are_those_of_all_reviews_after_every_change(database: Database, blobs: Blobs) -> None:
    info = add_dataset(database, rows=ROWS, splits={"train": TRAIN, "test": ROWS - TRAIN})
    loop = {"after": 1, "quiet_seconds": 0, "cool_down_seconds": 0}
    for place, job_id in enumerate(("job_1", "job_2", "job_3")):
        add_job(database, info, job_id, now=NOON + timedelta(seconds=place), loop=loop)
        finish(database, job_id, info)
    with database.write() as connection:
        loops.set_next_job(connection, "job_1", "job_2")
        loops.set_next_job(connection, "job_2", "job_3")
    kept, draw = OpenRankings(), random.Random(7)
    batches: list[tuple[str, str]] = []
    for step in range(40):
        job_id = draw.choice(["job_1", "job_2"])
        now, batch = NOON + timedelta(hours=7 * step), f"batch_{step}"
        with database.write() as connection:
            match draw.choice(["say", "say", "many", "undo"]):
                case "many":
                    index = sorted(draw.sample(range(TRAIN), 5))
                    reviews.add_bulk(connection, job_id, index, BulkDecision(decision="relabel"), "api", batch, now)
                case "undo" if batches:
                    reviews.undo(connection, *draw.choice(batches), batch, now)
                case _:
                    said = [_decision(draw) for _ in range(draw.randint(1, 6))]
                    given = {f"row-{row}": info.classes[row % 3] for row in range(TRAIN, ROWS)}
                    reviews.add(connection, job_id, said, "api", now, given=given, batch=batch)
                    batches.append((job_id, batch))
        if step == 30:
            with database.write() as connection:
                assert jobs.remove(connection, "job_3")
        for each in ("job_1", "job_2"):
            _check(database, blobs, kept, each)
    assert batches


def _decision(draw: random.Random) -> Decision:
    kind = draw.choice(KINDS)
    label = draw.choice(["cat", "dog", "eel"]) if kind == "relabel" else None
    return Decision.model_validate({"sample_id": f"row-{draw.randrange(ROWS)}", "decision": kind, "label": label})


def _check(database: Database, blobs: Blobs, kept: OpenRankings, job_id: str) -> None:
    with database.read() as connection:
        ranking = kept.get(connection, blobs, job_id)
        now = outcomes.of_ranking(connection, ranking)
        held, rows = outcomes.reviewed(connection, job_id)
        latest = reviews.latest(connection, job_id)
    found = {name: review_outcome(held[name], row["given_label"], row["suggested_label"]) for name, row in rows.items()}
    verdicts = np.array(ranking.columns.verdicts)[ranking.columns.verdict].tolist()
    expected: dict[str, Counter[Outcome]] = {name: Counter() for name in ranking.columns.verdicts}
    for row, verdict in enumerate(verdicts):
        expected[verdict][found.get(f"row-{row}", Outcome.PENDING)] += 1
    assert {name: +counted for name, counted in now.by_verdict.items()} == expected
    assert now.reviewed == len(found)
    for row, place in enumerate(now.held.decisions.tolist()):
        review = held.get(f"row-{row}")
        assert (DECISIONS[place] if place >= 0 else None) == (review.decision if review else None)
    flagged = Counter(
        (held[name].created_at.date(), outcome) for name, outcome in found.items() if verdicts[int(name[4:])] != "clean"
    )
    assert Counter({(day, one): n for day, told in now.flagged_by_day().items() for one, n in told.items()}) == flagged
    assert now.held.held_out == sum(name not in rows and one.job == job_id for name, one in latest.items())
