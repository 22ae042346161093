"""The whole loop with the real Label Studio: 300 tasks with 30 planted label errors, from pull to a better dataset."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from tests.label_studio.ours import Installation
from tests.label_studio.tool import Tool, labelled

CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="label" toName="text" choice="single">
  <Choice value="sports"/><Choice value="politics"/><Choice value="cooking"/>
</Choices></View>"""
WORDS = {
    "sports": [
        "match",
        "goal",
        "team",
        "coach",
        "league",
        "striker",
        "stadium",
        "season",
        "referee",
        "penalty",
        "trophy",
        "sprint",
    ],
    "politics": [
        "vote",
        "senate",
        "minister",
        "law",
        "campaign",
        "treaty",
        "budget",
        "coalition",
        "debate",
        "party",
        "reform",
        "embassy",
    ],
    "cooking": [
        "oven",
        "butter",
        "recipe",
        "garlic",
        "simmer",
        "flour",
        "spice",
        "onion",
        "bake",
        "pastry",
        "sauce",
        "tomato",
    ],
}
COMMON = [
    "the",
    "a",
    "of",
    "and",
    "with",
    "after",
    "before",
    "during",
    "new",
    "old",
    "again",
    "today",
    "their",
    "our",
    "for",
    "into",
    "over",
]
TASKS, ERRORS = 300, 30

pytestmark = pytest.mark.label_studio


def sentences(seed: int) -> tuple[list[str], list[str], list[str]]:
    """Texts, the class that each is of, and the class that each is given: every tenth another one."""
    draw = random.Random(seed)
    names = list(WORDS)
    right = [names[number % 3] for number in range(TASKS)]
    texts = [" ".join(draw.sample(WORDS[name], 5) + draw.sample(COMMON, 6)) for name in right]
    wrong = set(draw.sample(range(TASKS), ERRORS))
    given = [
        names[(names.index(name) + draw.choice([1, 2])) % 3] if n in wrong else name for n, name in enumerate(right)
    ]
    return texts, right, given


@dataclass
class Scene:
    """A project that was pulled and ranked."""

    project: int
    ids: list[int]
    right: dict[int, str]
    given: dict[int, str]
    connection: str
    job: str

    @property
    def planted(self) -> set[int]:
        """The tasks whose label is wrong."""
        return {task for task in self.ids if self.right[task] != self.given[task]}


def scene(tool: Tool, ours: Installation, seed: int = 0, token: str | None = None) -> Scene:
    texts, right, given = sentences(seed)
    project = tool.project(f"news {seed}", CONFIG)
    ids = tool.add(project, [labelled(text, label) for text, label in zip(texts, given, strict=True)])
    connection = ours.connect(tool, token)
    job = ours.rank(connection, project)
    return Scene(
        project,
        ids,
        dict(zip(ids, right, strict=True)),
        dict(zip(ids, given, strict=True)),
        connection,
        job["id"],
    )


@pytest.fixture(scope="module")
def ranked(tool: Tool, installation: Installation) -> Scene:
    """One project for the tests that leave its labels alone."""
    return scene(tool, installation)


def tasks_of(suspects: Sequence[dict[str, Any]]) -> list[int]:
    return [int(one["sample"]["id"]) for one in suspects]


def test_planted_errors_lead_the_ranking_of_a_pulled_project(ranked: Scene, installation: Installation) -> None:
    job = installation.get(f"/jobs/{ranked.job}")
    assert (job["dataset"]["rows"], job["dataset"]["modality"]) == (TASKS, "text")
    assert job["spec"]["source"]["project"] == ranked.project
    first = tasks_of(installation.suspects(ranked.job)[:ERRORS])
    assert len(ranked.planted & set(first)) >= 0.8 * ERRORS
