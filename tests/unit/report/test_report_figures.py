"""Figures show what the facts say, whatever the labels are."""

import re
from dataclasses import replace
from itertools import pairwise

import pytest
from defusedxml.ElementTree import fromstring

from service.report.facts import Epoch, Facts, Scores
from service.report.figures import draw
from service.report.tables import LARGEST, confused_classes, flagged_classes
from service.store.tallies import ClassTally, Confusion


def many(facts: Facts, count: int) -> Facts:
    """With so many classes, each confused with the next, the later the oftener."""
    names = [f"class {place:03d}" for place in range(count)]
    return replace(
        facts,
        dataset=facts.dataset.model_copy(update={"classes": names}),
        classes=[ClassTally(name, {"clean": 90, "mislabeled": 1 + place}) for place, name in enumerate(names)],
        confusions=[
            Confusion(name, names[place - 1], 1 + place) for place, name in reversed([*enumerate(names)]) if place
        ],
    )


def rectangles(svg: str, kind: str) -> list[dict[str, float]]:
    """The sizes of the rectangles of a class, those of the legend left out."""
    found = [one.attrib for one in fromstring(svg).iter("rect") if one.attrib["class"] == kind]
    sizes = [{name: float(value) for name, value in one.items() if name != "class"} for one in found]
    return [size for size in sizes if (size["width"], size["height"]) != (11, 11)]


def test_of_very_many_classes_those_are_drawn_that_matter_most(facts: Facts) -> None:
    crowded = many(facts, 300)
    flagged = {f"class {place:03d}" for place in range(300 - LARGEST, 300)}
    assert {one.label for one in flagged_classes(crowded, LARGEST)} == flagged
    # Nothing is taken for the last class, so it is confused less than those before it.
    confused = [f"class {place:03d}" for place in range(299 - LARGEST, 299)]
    assert confused_classes(crowded) == confused
    drawn = draw(crowded)
    for name, shown in (("classes", flagged), ("confusions", set(confused))):
        assert set(re.findall(r"class \d+", drawn[name])) == shown


def test_a_signal_that_is_the_same_for_all_is_related_to_none(facts: Facts) -> None:
    flat = replace(facts.signals[2], correlations={})
    drawn = draw(replace(facts, signals=[*facts.signals[:2], flat]))
    whole = draw(replace(facts, signals=facts.signals[:3]))
    assert len(re.findall(r">0\.5</text>", whole["correlations"])) == 6
    assert len(re.findall(r">0\.5</text>", drawn["correlations"])) == 4
    assert drawn["correlations"].count(">1.0</text>") == 3


def test_the_bars_of_a_label_are_as_long_as_its_shares_and_follow_each_other(facts: Facts) -> None:
    classes = [
        ClassTally("cat", {"clean": 50, "mislabeled": 40, "anomalous": 10}),
        ClassTally("dog", {"clean": 80, "mislabeled": 20}),
    ]
    svg = draw(replace(facts, classes=classes, verdicts={"mislabeled": 60, "anomalous": 10}))["classes"]
    (cat, dog), (strange,) = rectangles(svg, "red"), rectangles(svg, "amber")
    assert cat["width"] == pytest.approx(2 * dog["width"], abs=0.1) == pytest.approx(4 * strange["width"], abs=0.2)
    assert strange["x"] == pytest.approx(cat["x"] + cat["width"], abs=0.02)
    assert strange["y"] == cat["y"] < dog["y"]


def test_a_field_is_as_full_as_its_count(facts: Facts) -> None:
    pairs = [Confusion("cat", "dog", 10), Confusion("dog", "cat", 5)]
    fields = rectangles(draw(replace(facts, confusions=pairs))["confusions"], "red")
    first, second = fields
    assert first["fill-opacity"] == 2 * second["fill-opacity"]
    # The given label is the row.
    assert (first["x"] > second["x"], first["y"] < second["y"]) == (True, True)


def test_the_steps_of_the_histogram_stack_up_to_the_counts(facts: Facts) -> None:
    counts = {"clean": [8, 2, 0, 0], "mislabeled": [0, 2, 0, 6]}
    svg = draw(replace(facts, scores=Scores([0, 0.25, 0.5, 0.75, 1], counts)))["scores"]
    steps = {one.attrib["class"]: one.attrib["d"] for one in fromstring(svg).iter("path")}
    heights = {}
    for name in ("grey", "red"):
        numbers = [float(number) for number in steps[name][1:].split()]
        tops, bottoms = numbers[1:16:4], numbers[-1:15:-4]
        heights[name] = [low - high for low, high in zip(bottoms, tops, strict=True)]
        assert all(right - left == pytest.approx(numbers[2] - numbers[0]) for left, right in pairwise(numbers[0:16:4]))
    unit = heights["grey"][0] / 8
    assert [round(height / unit, 2) for height in heights["grey"]] == counts["clean"]
    assert [round(height / unit, 2) for height in heights["red"]] == counts["mislabeled"]


def test_the_curves_go_through_every_epoch(facts: Facts) -> None:
    svg = draw(replace(facts, epochs=[Epoch(1, 2.0, 0.5), Epoch(2, 1.0, 0.75), Epoch(3, 0.5, 1.0)]))["training"]
    loss, accuracy = (
        [one for one in fromstring(svg).iter("circle") if one.attrib["class"] == c] for c in ("red", "blue")
    )
    down = [float(one.attrib["cy"]) for one in loss]
    up = [float(one.attrib["cy"]) for one in accuracy]
    assert down[1] - down[0] == pytest.approx(2 * (down[2] - down[1]), abs=0.05)
    assert up[0] - up[1] == pytest.approx(up[1] - up[2], abs=0.05)
    assert up[0] > up[1]


def test_one_epoch_can_be_drawn(facts: Facts) -> None:
    svg = draw(replace(facts, epochs=[Epoch(7, 0.5, 0.5)]))["training"]
    assert ">7</text>" in svg
    assert "nan" not in svg


@pytest.mark.parametrize(
    "label", ["猫と犬", "$x^2$", "a\x00b\x1bc\ufffe", "\u200b", "x" * 500, "<b>&amp;</b>", "W" * 30]
)
def test_any_label_can_be_drawn(facts: Facts, label: str) -> None:
    tally = ClassTally(label, {"clean": 3, "mislabeled": 1})
    drawn = draw(replace(facts, classes=[tally], confusions=[]))
    assert "confusions" not in drawn
    assert fromstring(drawn["classes"]).tag == "svg"
    assert len(drawn["classes"]) < 20_000
    assert all(size["x"] >= 0 for size in rectangles(drawn["classes"], "red"))


def test_nothing_to_draw_is_no_figure(facts: Facts) -> None:
    bare = replace(facts, classes=[ClassTally("cat", {"clean": 9})], confusions=[], epochs=[], signals=[], planted=[])
    assert list(draw(bare)) == ["scores"]


def test_the_page_has_the_colours(facts: Facts) -> None:
    for svg in draw(facts).values():
        assert not re.findall(r"#[0-9a-f]{3}|style|(?:fill|stroke)=", svg)
