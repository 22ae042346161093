"""The whole loop with the real doccano: 300 examples with 30 planted label errors, from its export to a better dataset."""

import json
import os
import random
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from tests.doccano.tool import PASSWORD, USER, Tool, lines_of
from tests.label_studio.ours import Installation

pytestmark = pytest.mark.doccano

WORDS = {
    "sports": "match goal team coach league striker stadium season referee penalty trophy sprint",
    "politics": "vote senate minister law campaign treaty budget coalition debate party reform embassy",
    "cooking": "oven butter recipe garlic simmer flour spice onion bake pastry sauce tomato",
}
COMMON = "the a of and with after before during new old again today their our for into over"
EXAMPLES, ERRORS, MARKED = 300, 30, 36


@dataclass
class Scene:
    """A project that was ranked: by example's number, the class that is right and the one that was given."""

    project: int
    job: str
    right: dict[str, str]
    given: dict[str, str]

    @property
    def planted(self) -> set[str]:
        """The examples with a wrong label."""
        return {name for name, label in self.given.items() if label != self.right[name]}


def suspects(tool: Tool, installation: Installation, *arguments: str) -> str:
    """What `suspects doccano` prints, with the password where no argument shows it."""
    told = {
        "SUSPECTS_URL": installation.url,
        "DOCCANO_URL": tool.url,
        "DOCCANO_USER": USER,
        "DOCCANO_PASSWORD": PASSWORD,
    }
    done = subprocess.run(
        [sys.executable, "-m", "service.terminal.cli", "doccano", *arguments],
        env={**os.environ, **told, "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert PASSWORD not in done.stdout + done.stderr
    return done.stdout.strip()


@pytest.fixture(scope="module")
def scene(tool: Tool, installation: Installation) -> Scene:
    """Texts, every tenth under another class, imported into doccano and ranked from its export."""
    draw, names = random.Random(5), list(WORDS)
    right = [names[number % 3] for number in range(EXAMPLES)]
    texts = [" ".join(draw.sample(WORDS[name].split(), 5) + draw.sample(COMMON.split(), 6)) for name in right]
    wrong = set(draw.sample(range(EXAMPLES), ERRORS))
    given = [names[(names.index(name) + 1) % 3] if n in wrong else name for n, name in enumerate(right)]
    rows = [
        {"text": text, "label": [label], "ext_id": f"r{n}"}
        for n, (text, label) in enumerate(zip(texts, given, strict=True))
    ]
    odd = [{"text": "nobody has labelled this one", "label": [], "ext_id": "odd"}]
    project = tool.project("loop", names)
    tool.load(project, "".join(json.dumps(row) + "\n" for row in [*rows, *odd]).encode())
    places = {example["meta"]["ext_id"]: str(example["id"]) for example in tool.examples(project)}
    for number in range(0, EXAMPLES, 2):
        tool.ask("POST", f"/projects/{project}/examples/{places[f'r{number}']}/states")
    job = suspects(tool, installation, "submit", "--project", str(project)).split()[0]
    installation.ended(job)
    return Scene(
        project,
        job,
        {places[f"r{n}"]: label for n, label in enumerate(right)},
        {places[f"r{n}"]: label for n, label in enumerate(given)},
    )


def first(installation: Installation, scene: Scene) -> list[dict[str, Any]]:
    return installation.suspects(scene.job)[:MARKED]


def pushed(tool: Tool, installation: Installation, scene: Scene) -> str:
    options = ("--project", str(scene.project), "--limit", str(MARKED), "--reopen")
    return suspects(tool, installation, "push", scene.job, *options)


def everything(tool: Tool, scene: Scene) -> Any:
    examples = tool.examples(scene.project)
    return examples, [tool.comments(scene.project, one["id"]) for one in examples if one["comment_count"]]


def test_examples_keep_their_numbers_and_the_planted_errors_come_first(
    installation: Installation, scene: Scene
) -> None:
    ranked = [one["sample"]["id"] for one in installation.suspects(scene.job)]
    assert set(ranked) == set(scene.given)
    assert len(scene.planted & set(ranked[:ERRORS])) >= 0.9 * ERRORS
    dataset = installation.get(f"/jobs/{scene.job}")["dataset"]
    (skipped,) = installation.get(f"/datasets/{dataset['id']}/skipped")["items"]
    assert skipped["reason"] == "no label"


def test_doccano_shows_the_suspects_in_our_order_and_twice_is_as_once(
    tool: Tool, installation: Installation, scene: Scene
) -> None:
    project = str(scene.project)
    said = pushed(tool, installation, scene)
    ours = first(installation, scene)
    assert said.startswith(f"{len(ours)} marked, 0 of them before; 0 older marks cleared")
    # What its page shows under "Lowest score first".
    params = {"ordering": "score", "limit": len(ours), "confirmed": "false"}
    shown = tool.ask("GET", f"/projects/{project}/examples", params=params)["results"]
    assert [str(one["id"]) for one in shown] == [one["sample"]["id"] for one in ours]
    assert [one["meta"]["suggested"] for one in shown] == [one["suggested_label"] for one in ours]
    assert all("ext_id" in one["meta"] for one in shown)
    (said,) = tool.comments(scene.project, shown[0]["id"])
    assert f"labelled {ours[0]['given_label']}, looks like {ours[0]['suggested_label']}" in said
    before = everything(tool, scene)
    again = pushed(tool, installation, scene)
    assert again.startswith(f"{len(ours)} marked, {len(ours)} of them before")
    assert everything(tool, scene) == before


def test_what_people_decide_there_makes_a_better_dataset(tool: Tool, installation: Installation, scene: Scene) -> None:
    ours = [one["sample"]["id"] for one in first(installation, scene)]
    gone, *rest = [name for name in ours if name in scene.planted]
    tool.ask("DELETE", f"/projects/{scene.project}/examples/{gone}")
    for name in rest:
        tool.relabel(scene.project, int(name), scene.right[name])
    for name in set(ours) - scene.planted:
        tool.ask("POST", f"/projects/{scene.project}/examples/{name}/states")
    said = suspects(tool, installation, "reviews", scene.job, "--project", str(scene.project))
    assert said == f"{MARKED} decisions"
    held = {one["sample_id"]: one for one in installation.get(f"/jobs/{scene.job}/reviews", limit=1000)["items"]}
    assert held[gone]["decision"] == "remove"
    assert all((held[name]["decision"], held[name]["label"]) == ("relabel", scene.right[name]) for name in rest)
    assert all(held[name]["decision"] == "keep" for name in set(ours) - scene.planted)
    dataset = installation.get(f"/jobs/{scene.job}")["dataset"]["id"]
    version = installation.post(f"/datasets/{dataset}/versions", {"job": scene.job, "apply": "reviews"})
    assert (version["lineage"]["relabelled"], version["lineage"]["removed"]) == (len(rest), 1)
    second = installation.post("/jobs", {"dataset": version["id"]})["id"]
    installation.ended(second)
    diff = installation.get(f"/jobs/{second}/diff")
    assert {one["sample_id"] for one in diff["relabelled"]["items"]} == set(rest)
    assert len(scene.planted - set(ours)) <= 0.1 * ERRORS  # wrong labels that are left


def test_the_ranking_is_what_doccano_imports(tool: Tool, installation: Installation, scene: Scene) -> None:
    lines = installation.client.get(f"/jobs/{scene.job}/suspects", params={"format": "doccano"})
    assert lines.status_code == httpx.codes.OK
    review = tool.project("review", list(WORDS))
    tool.load(review, lines.content)
    rows = [json.loads(line) for line in lines_of(tool.download(review)).splitlines()]
    ranked = installation.suspects(scene.job)
    assert [row["sample_id"] for row in rows] == [one["sample"]["id"] for one in ranked]
    assert [row["label"] for row in rows] == [[one["given_label"]] for one in ranked]
    assert [row["suspicion"] for row in rows] == pytest.approx([one["score"] for one in ranked])
