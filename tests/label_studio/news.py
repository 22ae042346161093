"""A project of short news with planted label errors, in Label Studio and ranked by us."""

import random
from dataclasses import dataclass

from tests.label_studio.ours import Installation
from tests.label_studio.tool import Tool, labelled

CONFIG = """<View><Text name="text" value="$text"/>
<Choices name="label" toName="text" choice="single">
  <Choice value="sports"/><Choice value="politics"/><Choice value="cooking"/>
</Choices></View>"""
_WORDS = {
    "sports": "match goal team coach league striker stadium season referee penalty trophy sprint",
    "politics": "vote senate minister law campaign treaty budget coalition debate party reform embassy",
    "cooking": "oven butter recipe garlic simmer flour spice onion bake pastry sauce tomato",
}
WORDS = {name: words.split() for name, words in _WORDS.items()}
_COMMON = "the a of and with after before during new old again today their our for into over"
TASKS, ERRORS = 300, 30


def sentences(seed: int, words: int = 5) -> tuple[list[str], list[str], list[str]]:
    """Texts, the class that each is of, and the class that each is given: every tenth another one.

    Fewer `words` of its class make a text harder to tell.
    """
    draw = random.Random(seed)
    names = list(WORDS)
    right = [names[number % 3] for number in range(TASKS)]
    texts = [" ".join(draw.sample(WORDS[name], words) + draw.sample(_COMMON.split(), 11 - words)) for name in right]
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


def scene(tool: Tool, ours: Installation, seed: int = 0, *, words: int = 5, verified: int = 0) -> Scene:
    """A new project, ranked; so many tasks whose label is right are the trusted reference."""
    texts, right, given = sentences(seed, words)
    project = tool.project(f"news {seed}", CONFIG)
    ids = tool.add(project, [labelled(text, label) for text, label in zip(texts, given, strict=True)])
    connection = ours.connect(tool)
    known = [str(task) for task, said, is_so in zip(ids, given, right, strict=True) if said == is_so][:verified]
    job = ours.rank(connection, project, **({"reference": {"samples": known}} if known else {}))
    return Scene(
        project,
        ids,
        dict(zip(ids, right, strict=True)),
        dict(zip(ids, given, strict=True)),
        connection,
        job["id"],
    )
