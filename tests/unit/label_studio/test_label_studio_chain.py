"""What two jobs of a chain read in the same tool, and what is said to either: one truth, kept once.

One task, pulled as a cat; a second job follows, over the pulled dataset corrected, or pulled anew. People change the
annotation, and that in the first job's project of suspects, decide over the API on either list, and the service looks.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from service.domain.connection import PullSource
from service.domain.review import Decision
from service.domain.specs import Loop
from service.label_studio.push.push_state import PushState
from service.label_studio.reconcile.changes import PulledTask, ToolAnnotation, change_of_task, latest_change
from service.label_studio.reconcile.record import record_changes
from service.main import create_app
from service.services import Services
from service.settings import Settings
from service.store import jobs, loops, pulls, reviews, tables
from service.store.engine import migrate
from tests.builders import add_dataset, add_job
from tests.unit.label_studio.test_label_studio_changes import CAT, CLASSES, at, heard, pulled

FIRST, SECOND = "job_1", "job_2"
NAME = "1"


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    home = tmp_path_factory.mktemp("verdicts")
    opened: Services = create_app(Settings(home=home)).state.services
    migrate(opened.settings.database)
    yield opened
    opened.database.close()
    opened.queue.close()


@dataclass
class Scene:
    """`given` is what the task is called in the second job; `afresh`: it was pulled anew, with what was there then."""

    services: Services
    given: str
    afresh: bool
    review_project: bool
    own: list[ToolAnnotation] | None = field(default_factory=lambda: [CAT])
    review: list[ToolAnnotation] = field(default_factory=list)
    number: int = 1

    def __post_init__(self) -> None:
        with self.services.database.write() as connection:
            for table in (tables.jobs, tables.datasets):
                connection.execute(table.delete())
        info = add_dataset(self.services.database)
        for job_id in (FIRST, SECOND):
            add_job(self.services.database, info, job_id)
        known: dict[str, Any] = {"connection": None, "project": 7, "from_name": None, "annotation_policy": "latest"}
        source = PullSource.model_construct(**known)
        with self.services.database.write() as connection:
            pulls.add(connection, FIRST, source)
            if self.afresh:
                pulls.add(connection, SECOND, source)
            else:
                pulls.copy_to_job(connection, FIRST, SECOND)
        self.base = {FIRST: pulled(CAT), SECOND: pulled(CAT)}
        if self.given == "dog" and self.afresh:
            self.own = [heard(1, -5, "dog")]
            self.base[SECOND] = pulled(*self.own)
        elif self.given == "dog":
            self._say(FIRST, Decision(sample_id=NAME, decision="relabel", label="dog"), -5)
        with self.services.database.write() as connection:
            loops.add(connection, FIRST, Loop(after=1))
            loops.set_next_job(connection, FIRST, SECOND)

    def do(self, what: str, minute: int) -> None:
        where, _, label = what.partition(" ")
        if where == "say":
            job_id, _, decision = label.partition(" ")
            self._say(job_id, Decision.model_validate({"sample_id": NAME, "decision": decision}), minute)
        elif where == "review" and self.review_project:
            self.number += 1
            self.review = [*self.review, heard(self.number, minute, label)]
        elif where == "delete":
            self.own = None
        elif where == "change" and self.own:
            self.own = [heard(self.own[-1].version[0], minute, label)]

    def _say(self, job_id: str, decision: Decision, minute: int) -> None:
        with self.services.database.write() as connection:
            reviews.add(connection, job_id, [decision], "api", at(minute), given={NAME: self.called(job_id)})

    def called(self, job_id: str) -> str:
        return "cat" if job_id == FIRST else self.given

    def look(self, job_id: str, minute: int) -> int:
        change = change_of_task(self.own, self.base[job_id], "latest")
        pushed = {}
        if job_id == FIRST and self.review:
            change = latest_change(change, change_of_task(self.review, PulledTask({}, (), requeued=False), "latest"))
        if self.review_project:
            pushed[FIRST] = PushState(review_project=31)
        services = replace(self.services, now=lambda: at(minute))
        with services.database.read() as connection:
            job = jobs.get(connection, job_id)
        assert job is not None
        changes = {} if change is None else {NAME: change}
        return record_changes(services, job, pushed, changes, {NAME: self.called(job_id)}, CLASSES)

    def truth(self, job_id: str) -> str | None:
        """What is right of the task, as this job would have it: a class, or what else was decided."""
        with self.services.database.read() as connection:
            found = reviews.latest(connection, job_id).get(NAME)
        if found is None:
            return None
        review = found.about(self.called(job_id))
        return {"keep": self.called(job_id), "relabel": review.label}.get(review.decision, review.decision)


CHANGES = [f"{where} {label}" for where in ("change", "review") for label in CLASSES]
SAYINGS = [f"say {job_id} {decision}" for job_id in (FIRST, SECOND) for decision in ("keep", "remove", "unsure")]
LOOKS = [(), (FIRST,), (SECOND,), (FIRST, SECOND), (SECOND, FIRST)]
KIND = st.tuples(st.sampled_from(CLASSES), st.booleans(), st.booleans())
Story = list[tuple[str, tuple[str, ...]]]


def stories(*deeds: str) -> st.SearchStrategy[Story]:
    return st.lists(st.tuples(st.sampled_from(deeds), st.sampled_from(LOOKS)), max_size=6)


def play(scene: Scene, story: Story) -> int:
    for minute, (what, looks) in enumerate(story, 1):
        scene.do(what, minute)
        for job_id in looks:
            scene.look(job_id, minute)
    return len(story) + 1


@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(KIND, stories(*CHANGES, *SAYINGS, "delete"))
def test_looking_again_at_either_job_changes_nothing_and_both_tell_the_same(
    installed: Services, kind: tuple[str, bool, bool], story: Story
) -> None:
    scene = Scene(installed, *kind)
    last = play(scene, story)
    for job_id in (FIRST, SECOND):
        scene.look(job_id, last)
    truth = scene.truth(FIRST)
    assert [scene.look(job_id, last + 1) for job_id in (SECOND, FIRST, SECOND)] == [0, 0, 0]
    assert [scene.truth(job_id) for job_id in (FIRST, SECOND)] == [truth, truth]


# When a task was deleted is not known: whether before or after somebody said something depends on who looked when.
@pytest.mark.slow
@settings(max_examples=60, deadline=None, derandomize=True)
@given(KIND, stories(*CHANGES, *SAYINGS) | stories(*CHANGES, "delete"))
@example(("dog", False, True), [("change cat", (FIRST,)), ("review dog", ())])
def test_however_often_either_job_was_looked_at_the_same_holds_in_the_end(
    installed: Services, kind: tuple[str, bool, bool], story: Story
) -> None:
    found = []
    unwatched: Story = [(what, ()) for what, _ in story]
    for watched in (story, unwatched):
        scene = Scene(installed, *kind)
        last = play(scene, watched)
        for job_id in (FIRST, SECOND):
            scene.look(job_id, last)
        found.append(scene.truth(FIRST))
    assert found[0] == found[1]


@pytest.mark.parametrize("afresh", [True, False])
def test_a_deletion_that_one_job_has_told_is_older_than_what_was_said_since_also_to_the_other(
    installed: Services, afresh: bool
) -> None:
    scene = Scene(installed, "cat", afresh, review_project=True)
    play(scene, [("delete", (FIRST,)), (f"say {SECOND} keep", (SECOND, FIRST))])
    assert (scene.truth(FIRST), scene.truth(SECOND)) == ("cat", "cat")
