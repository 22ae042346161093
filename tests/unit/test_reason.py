"""The plain-English reason states what the evidence carries, and nothing else."""

import re
from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from service.domain.reason import SampleFacts, WitnessFacts, describe_anomaly, explain, explain_briefly

BARE = SampleFacts(given="7", suggested="1", verdict="mislabeled", rank=3, samples=500)


def test_without_evidence_only_the_ranking_is_told() -> None:
    assert explain(BARE) == (
        "Labelled 7, flagged as probably mislabeled: number 3 of 500 by suspicion of its label. "
        "The label that fits it better is 1."
    )


def test_the_whole_story() -> None:
    case = replace(
        BARE,
        epochs=[1, 2, 3, 4],
        margins=[0.1, -1, -2, -3],
        opponents=["1", "1", "4"],
        class_influence=[("7", -0.5), ("1", 2.0)],
    )
    assert explain(case).endswith(
        "Another label scored higher at 3 of 4 checkpoints, from epoch 2 on. "
        "Training on it raised the loss of the reference samples of its own label as a whole. "
        "The reference samples that it hurt most: 2 of class 1, 1 of class 4."
    )


def test_the_course_of_training_is_told_as_it_was() -> None:
    def course(*margins: float) -> str:
        return explain(replace(BARE, epochs=range(2, 2 + 2 * len(margins), 2), margins=margins)).split("better is 1. ")[
            1
        ]

    assert course(1, 0, 2) == "No other label scored higher at all 3 checkpoints."
    assert course(-1, -2) == "Another label scored higher at all 2 checkpoints."
    assert course(-1) == "Another label scored higher at the one checkpoint."
    assert course(-1, -1, 1) == (
        "Another label scored higher at 2 of 3 checkpoints, from the first checkpoint on; after epoch 4 its own did."
    )
    assert course(1, -1, 1) == (
        "Another label scored higher at 1 of 3 checkpoints, from epoch 4 on; after epoch 4 its own did."
    )


def heard(*against: int, looked_at: int = 50, label: str = "1") -> str:
    case = replace(BARE, epochs=range(1, 1 + len(against)), witnesses=WitnessFacts(label, looked_at, against))
    return explain(case).split("better is 1.")[1].strip()


def test_similar_samples_are_against_it_from_when_most_of_them_stay_so() -> None:
    like = "reference samples labelled 1 that are most like it push against it"
    assert heard(20, 30, 45, 41) == f"At every checkpoint from epoch 2 on, most of the 50 {like}; at the last, 41 do."
    assert heard(40, 20, 26, 30) == f"At every checkpoint from epoch 3 on, most of the 50 {like}; at the last, 30 do."
    assert heard(30, 31) == f"At all 2 checkpoints, most of the 50 {like}; at the last, 31 do."
    assert heard(10, 10, 31) == f"At the last checkpoint, 31 of the 50 {like}."
    assert heard(31) == f"At the one checkpoint, 31 of the 50 {like}."
    assert heard(0, 50, 50) == f"At every checkpoint from epoch 2 on, all 50 {like}."
    assert heard(2, 2, looked_at=2) == f"At all 2 checkpoints, all 2 {like}."
    assert heard(0, 1, looked_at=1) == (
        "At the last checkpoint, the one reference sample labelled 1 that was looked at pushes against it."
    )


def test_a_half_is_no_majority_and_nobody_is_none() -> None:
    assert heard(25, 25) == heard(50, 25) == heard(0) == heard(0, 0, looked_at=0) == heard() == ""


@given(st.integers(0, 4).flatmap(lambda n: st.tuples(st.just(n), st.lists(st.integers(0, n), min_size=1, max_size=6))))
def test_similar_samples_are_spoken_of_exactly_when_most_are_against_it_at_the_end(case: tuple[int, list[int]]) -> None:
    looked_at, against = case
    said = heard(*against, looked_at=looked_at)
    assert bool(said) == (against[-1] > looked_at / 2)
    if "from epoch" in said:
        first = int(said.split("from epoch ")[1].split()[0])
        assert against[first - 2] <= looked_at / 2
        assert all(number > looked_at / 2 for number in against[first - 1 :])


def test_a_sample_that_is_not_flagged_is_not_accused() -> None:
    said = explain(replace(BARE, suggested="7", verdict="clean", supporters=["7"]))
    assert "not flagged" in said
    assert "fits it best is the one it has" in said
    assert "hurt no reference sample; those that it helped most: 1 of class 7" in said


@given(
    st.lists(st.floats(-5, 5), max_size=6),
    st.lists(st.sampled_from(["1", "4"]), max_size=4),
    st.sampled_from(["mislabeled", "anomalous", "clean"]),
)
def test_every_case_gives_whole_sentences(margins: list[float], opponents: list[str], verdict: str) -> None:
    case = replace(BARE, verdict=verdict, margins=margins, epochs=range(len(margins)), opponents=opponents)
    said = explain(case)
    assert said.endswith(".")
    assert "  " not in said
    assert ("checkpoint" in said) == bool(margins)
    assert ("hurt most" in said) == bool(opponents)


def test_of_predictions_no_training_is_spoken_of() -> None:
    case = replace(
        BARE,
        predicted=True,
        epochs=[0],
        margins=[-2.0],
        opponents=["1", "4"],
        class_influence=[("7", -0.5)],
        witnesses=WitnessFacts("1", 50, [50]),
    )
    assert explain(case).endswith(
        "Models that had not seen it find another label likelier. "
        "Training on it would raise the loss of the reference samples of its own label as a whole. "
        "By these predictions, all 50 reference samples labelled 1 that are most like it push against it. "
        "The reference samples that it would hurt most: 1 of class 1, 1 of class 4."
    )
    right = replace(case, margins=[0.5], class_influence=[("7", 0.5)], witnesses=None, opponents=[], supporters=["7"])
    assert explain(right).endswith(
        "Models that had not seen it find no other label likelier. "
        "Training on it would lower the loss of the reference samples of its own label as a whole. "
        "It would hurt no reference sample; those that it would help most: 1 of class 7."
    )
    alone = explain(replace(BARE, predicted=True, epochs=[0], margins=[-2.0]))
    assert alone.endswith("Models that had not seen it find another label likelier.")


def test_in_brief_one_sentence_tells_the_margins_and_the_similar_samples() -> None:
    heard = WitnessFacts("1", 50, [20, 48])
    similar = "training on it raised the loss of 48 of the 50 most similar samples labelled 1."
    case = replace(BARE, epochs=[1, 9], margins=[-1, -2], witnesses=heard, class_influence=[("7", -1.0)])
    assert explain_briefly(BARE) == ""
    assert explain_briefly(replace(BARE, witnesses=heard)) == similar.capitalize()
    assert explain_briefly(case) == f"Another label fitted better during the whole training, and {similar}"
    part = replace(case, margins=[-1, 2], witnesses=replace(heard, against=[3, 0]))
    assert explain_briefly(part) == "Another label fitted better at 1 of 2 points of the training."
    right = explain_briefly(replace(case, margins=[1, 2]))
    assert right == f"No other label fitted better during the training, but {similar}"
    alone = replace(case, predicted=True, margins=[-1], witnesses=WitnessFacts("1", 1, [1]))
    assert explain_briefly(alone) == (
        "Models that had not seen it find another label likelier, and training on it would raise the loss of the most "
        "similar sample labelled 1."
    )


def test_what_is_unusual_is_told_the_strongest_first_and_nothing_usual() -> None:
    assert describe_anomaly({}) == ""
    assert describe_anomaly({"remoteness": 1.0, "crowding": 0.3, "si": 99.0, "label_split": 0.8}) == ""
    assert describe_anomaly({"remoteness": 1.5, "divergence": 2.5, "label_split": 0.9}) == (
        "A combination of values that no trusted sample has. Far from every trusted sample. "
        "In the tighter of the two clusters that the samples of its label form."
    )


def test_no_reason_names_how_sure_a_suggestion_is() -> None:
    assert not hasattr(BARE, "confidence")
    for case in (BARE, replace(BARE, suggested=BARE.given)):
        assert not re.search(r"confiden|%|0\.\d", explain(case))
