"""Explanation of a sample's rank in plain English, from the facts that the job has measured."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_STRANGE = {
    "remoteness": "Far from every trusted sample.",
    "crowding": "In a region with many samples and few trusted ones.",
    "divergence": "A combination of values that no trusted sample has.",
    "label_distance": "Far from most of its own label.",
    "isolation": "Far from all other samples.",
    "mahalanobis": "Far from its label in a direction in which samples hardly vary.",
}
_TWO_CLUSTERS = 0.86  # the gap from which `anomalous` treats the samples of a label as two clusters


@dataclass(frozen=True)
class WitnessFacts:
    """Number of the `looked_at` reference samples of class `label` most similar to a sample whose loss it raises.

    `against` has a number for each checkpoint.
    """

    label: str
    looked_at: int
    against: Sequence[int]


@dataclass(frozen=True)
class SampleFacts:
    """Facts about one ranked sample; lists over checkpoints are in the order of `epochs`.

    A margin below 0 means that another class scored higher. `opponents` and `supporters` are the classes of the reference
    samples with the most negative and most positive influence. `predicted`: no training was run; the facts are one prediction by
    models that had not seen the sample, and influence is that of one hypothetical step.
    """

    given: str
    suggested: str
    verdict: str
    rank: int
    samples: int
    epochs: Sequence[int] = ()
    margins: Sequence[float] = ()
    supporters: Sequence[str] = ()
    opponents: Sequence[str] = ()
    class_influence: Sequence[tuple[str, float]] = ()
    witnesses: WitnessFacts | None = None
    predicted: bool = False


def explain(case: SampleFacts) -> str:
    """A few sentences, each of which states one fact; missing facts are left out."""
    sentences = [
        _standing(case),
        _suggestion(case),
        _course(case),
        _own_class(case),
        _witnesses(case),
        _neighbours(case),
    ]
    return " ".join(sentence for sentence in sentences if sentence)


def explain_briefly(case: SampleFacts) -> str:
    """One sentence with the strongest facts about a label, for lists; empty without evidence."""
    against, similar = any(margin < 0 for margin in case.margins), _similar_in_brief(case)
    joined = (", and " if against else ", but ").join(part for part in (_margins_in_brief(case), similar) if part)
    return joined and f"{joined[0].upper()}{joined[1:]}."


def _margins_in_brief(case: SampleFacts) -> str:
    if not case.margins:
        return ""
    count, lost = len(case.margins), sum(margin < 0 for margin in case.margins)
    if case.predicted:
        return f"models that had not seen it find {'another' if lost else 'no other'} label likelier"
    if not lost:
        return "no other label fitted better during the training"
    if lost == count:
        return "another label fitted better during the whole training"
    return f"another label fitted better at {lost} of {count} points of the training"


def _similar_in_brief(case: SampleFacts) -> str:
    witnesses = case.witnesses
    if witnesses is None or not witnesses.against or not witnesses.against[-1]:
        return ""
    raised = "would raise" if case.predicted else "raised"
    some, among = witnesses.against[-1], witnesses.looked_at
    if among == 1:
        return f"training on it {raised} the loss of the most similar sample labelled {witnesses.label}"
    share = f"all {among}" if some == among else f"{some} of the {among}"
    return f"training on it {raised} the loss of {share} most similar samples labelled {witnesses.label}"


def describe_anomaly(signals: Mapping[str, float]) -> str:
    """What is unusual about a sample whatever its label, from its signals by name; empty where nothing is.

    Remoteness, crowding, divergence, label_distance, isolation and mahalanobis are above 1 for samples beyond 95 % of the others.
    """
    beyond = sorted((-signals[name], sentence) for name, sentence in _STRANGE.items() if signals.get(name, 0.0) > 1)
    sentences = [sentence for _, sentence in beyond]
    if signals.get("label_split", 0.0) > _TWO_CLUSTERS:
        sentences.append("In the tighter of the two clusters that the samples of its label form.")
    return " ".join(sentences)


def _standing(case: SampleFacts) -> str:
    verdict = {
        "mislabeled": "flagged as probably mislabeled",
        "anomalous": "flagged as anomalous",
    }.get(case.verdict, "not flagged")
    return f"Labelled {case.given}, {verdict}: number {case.rank} of {case.samples} by suspicion of its label."


def _suggestion(case: SampleFacts) -> str:
    if case.suggested == case.given:
        return "The label that fits it best is the one it has."
    return f"The label that fits it better is {case.suggested}."


def _course(case: SampleFacts) -> str:
    if not case.margins:
        return ""
    if case.predicted:
        others = "another" if case.margins[0] < 0 else "no other"
        return f"Models that had not seen it find {others} label likelier."
    count, against = len(case.margins), [place for place, margin in enumerate(case.margins) if margin < 0]
    checkpoints = "the one checkpoint" if count == 1 else f"all {count} checkpoints"
    if not against:
        return f"No other label scored higher at {checkpoints}."
    if len(against) == count:
        return f"Another label scored higher at {checkpoints}."
    first = case.epochs[against[0]]
    began = "from the first checkpoint" if against[0] == 0 else f"from epoch {first}"
    sentence = f"Another label scored higher at {len(against)} of {count} checkpoints, {began} on"
    return sentence + ("." if against[-1] == count - 1 else f"; after epoch {case.epochs[against[-1]]} its own did.")


def _own_class(case: SampleFacts) -> str:
    own = dict(case.class_influence).get(case.given)
    if own is None or own == 0:
        return ""
    effect = "lowered" if own > 0 else "raised"
    if case.predicted:
        effect = "would lower" if own > 0 else "would raise"
    return f"Training on it {effect} the loss of the reference samples of its own label as a whole."


def _witnesses(case: SampleFacts) -> str:
    """From which checkpoint to the end the sample raises the loss of most similar samples; empty where it does not."""
    witnesses = case.witnesses
    if witnesses is None:
        return ""
    count = len(witnesses.against)
    minority = [place for place, number in enumerate(witnesses.against) if 2 * number <= witnesses.looked_at]
    first = minority[-1] + 1 if minority else 0
    if first == count:
        return ""
    if first == count - 1:
        when = "At the one checkpoint" if count == 1 else "At the last checkpoint"
        when = "By these predictions" if case.predicted else when
    else:
        when = (
            f"At all {count} checkpoints" if first == 0 else f"At every checkpoint from epoch {case.epochs[first]} on"
        )
    if witnesses.looked_at == 1:
        return f"{when}, the one reference sample labelled {witnesses.label} that was looked at pushes against it."
    who = f"{witnesses.looked_at} reference samples labelled {witnesses.label} that are most like it push against it"
    if min(witnesses.against[first:]) == witnesses.looked_at:
        return f"{when}, all {who}."
    if first == count - 1:
        return f"{when}, {witnesses.against[-1]} of the {who}."
    return f"{when}, most of the {who}; at the last, {witnesses.against[-1]} do."


def _neighbours(case: SampleFacts) -> str:
    hurt, helped = ("would hurt", "would help") if case.predicted else ("hurt", "helped")
    if case.opponents:
        return f"The reference samples that it {hurt} most: {_counted(case.opponents)}."
    if case.supporters:
        return f"It {hurt} no reference sample; those that it {helped} most: {_counted(case.supporters)}."
    return ""


def _counted(labels: Sequence[str]) -> str:
    return ", ".join(f"{number} of class {label}" for label, number in Counter(labels).most_common())
