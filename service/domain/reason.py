"""Why a sample stands where it stands, in plain English, from what the job knows of it and nothing else."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

_STRANGE = {
    "remoteness": "Far from every trusted sample.",
    "crowding": "Among many samples, where there are few trusted ones.",
    "divergence": "A mixture of values that no trusted sample has.",
    "label_distance": "Far from most of its own label.",
}
_TWO_HEAPS = 0.86  # the gap from which `anomalous` takes a label for two


@dataclass(frozen=True)
class WitnessFacts:
    """The `looked_at` samples of class `label` most like a sample: how many push against it at each checkpoint."""

    label: str
    looked_at: int
    against: Sequence[int]


@dataclass(frozen=True)
class SampleFacts:
    """One ranked sample.

    Lists over checkpoints are in the order of `epochs`; a margin below 0 means that some other class scored higher;
    `opponents` and `supporters` are the classes of its most influential reference samples. `predicted`: there was no
    training, but one prediction by models that had not seen it, and influence is that of a step that nobody took.
    """

    given: str
    suggested: str
    confidence: float
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
    """A few sentences; each states one fact of the case, and a fact that is not there is not spoken of."""
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
    """What says most against a label, for a list: the course of training, and the witnesses at its end."""
    sentences, heard = [_course(case)], case.witnesses
    if heard is not None:
        who = f"{heard.looked_at} most similar reference samples labelled {heard.label}"
        sentences.append(f"{heard.against[-1]} of the {who} push against it.")
    return " ".join(sentence for sentence in sentences if sentence)


def describe_anomaly(signals: Mapping[str, float]) -> str:
    """What is unusual of a sample whatever its label: the measures by which it lies beyond 95 % of the others, by name.

    Remoteness, crowding, divergence and the distance from its label are 1 there.
    """
    beyond = sorted((-signals[name], said) for name, said in _STRANGE.items() if signals.get(name, 0.0) > 1)
    sentences = [said for _, said in beyond]
    if signals.get("label_split", 0.0) > _TWO_HEAPS:
        sentences.append("In the tighter of the two heaps that its label falls into.")
    return " ".join(sentences)


def _standing(case: SampleFacts) -> str:
    verdict = {
        "mislabeled": "flagged as probably mislabeled",
        "anomalous": "flagged as anomalous",
    }.get(case.verdict, "not flagged")
    return f"Labelled {case.given}, {verdict}: number {case.rank} of {case.samples} by suspicion of its label."


def _suggestion(case: SampleFacts) -> str:
    sure = f"with confidence {case.confidence:.2f}"
    if case.suggested == case.given:
        return f"The label that fits it best is the one it has, {sure}."
    return f"The label that fits it better is {case.suggested}, {sure}."


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
    said = f"Another label scored higher at {len(against)} of {count} checkpoints, {began} on"
    return said + ("." if against[-1] == count - 1 else f"; after epoch {case.epochs[against[-1]]} its own did.")


def _own_class(case: SampleFacts) -> str:
    own = dict(case.class_influence).get(case.given)
    if own is None or own == 0:
        return ""
    effect = "lowered" if own > 0 else "raised"
    if case.predicted:
        effect = "would lower" if own > 0 else "would raise"
    return f"Training on it {effect} the loss of the reference samples of its own label as a whole."


def _witnesses(case: SampleFacts) -> str:
    """From when on, and through the end, most of the similar samples are against it; nothing when they are not."""
    heard = case.witnesses
    if heard is None:
        return ""
    count = len(heard.against)
    minority = [place for place, number in enumerate(heard.against) if 2 * number <= heard.looked_at]
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
    if heard.looked_at == 1:
        return f"{when}, the one reference sample labelled {heard.label} that was looked at pushes against it."
    who = f"{heard.looked_at} reference samples labelled {heard.label} that are most like it push against it"
    if min(heard.against[first:]) == heard.looked_at:
        return f"{when}, all {who}."
    if first == count - 1:
        return f"{when}, {heard.against[-1]} of the {who}."
    return f"{when}, most of the {who}; at the last, {heard.against[-1]} do."


def _neighbours(case: SampleFacts) -> str:
    hurt, helped = ("would hurt", "would help") if case.predicted else ("hurt", "helped")
    if case.opponents:
        return f"The reference samples that it {hurt} most: {_counted(case.opponents)}."
    if case.supporters:
        return f"It {hurt} no reference sample; those that it {helped} most: {_counted(case.supporters)}."
    return ""


def _counted(labels: Sequence[str]) -> str:
    return ", ".join(f"{number} of class {label}" for label, number in Counter(labels).most_common())
