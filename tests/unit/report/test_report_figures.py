"""Figures of what is awkward to draw."""

import re
from dataclasses import replace

import matplotlib as mpl
import pytest

from service.report.facts import Facts
from service.report.figures import draw
from service.report.plots import INK
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


@pytest.mark.parametrize("label", ["猫と犬", "$x^2$", "a\x00b\x1bc\ufffe", "\u200b", "x" * 500, "<b>&amp;</b>"])
def test_any_label_can_be_drawn(facts: Facts, label: str) -> None:
    tally = ClassTally(label, {"clean": 3, "mislabeled": 1})
    drawn = draw(replace(facts, classes=[tally], confusions=[]))
    assert "confusions" not in drawn
    assert "svg" in drawn["classes"]
    assert len(drawn["classes"]) < 20_000


def test_nothing_to_draw_is_no_figure(facts: Facts) -> None:
    bare = replace(facts, classes=[ClassTally("cat", {"clean": 9})], confusions=[], course=[], signals=[], planted=[])
    assert list(draw(bare)) == ["scores"]


def test_drawing_leaves_the_library_as_it_was(facts: Facts) -> None:
    before = dict(mpl.rcParams)
    with mpl.rc_context({"text.color": "green", "svg.fonttype": "path", "figure.figsize": (1, 1)}):
        drawn = draw(facts)
        assert mpl.rcParams["text.color"] == "green"
    assert dict(mpl.rcParams) == before
    assert draw(facts) == drawn


def test_text_has_the_pages_colour(facts: Facts) -> None:
    for svg in draw(facts).values():
        assert INK not in svg
        assert "#000000" not in svg
        assert "currentColor" in svg
