"""What signals are computed from, measured in one pass over the checkpoints and one over the pairs."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.influence.activations import Trace
from worker.influence.gradient_sources import GradientSource, LastLayerGradients
from worker.influence.pair_computation import pair_computation, pair_sums_of
from worker.influence.pair_inputs import PairInputs
from worker.influence.pair_sums import PairSums
from worker.influence.pairs_counted import PairsCounted, Related
from worker.influence.row_computations import Arrays, Begin, OnShare, alone
from worker.machine.devices import CPU, Precision
from worker.signals.anomaly import FEWEST, StrangenessRows, begin_isolation
from worker.signals.class_computation import BegunClassInfluence, influence_label
from worker.signals.class_influence import ClassInfluence
from worker.signals.confusions import ConfusionMargin, confusion_margin, held_out_prediction
from worker.signals.dynamics import Dynamics, learning_dynamics
from worker.signals.features import common_features, principal_features
from worker.signals.held_out import ChoosePenalty, EndScores, begin_held_out_scores
from worker.signals.measuring_progress import MeasuringProgress
from worker.signals.position import Position, within_labels
from worker.signals.reference import Chosen, ReferenceSamples
from worker.signals.sample_groups import SampleGroups
from worker.signals.trusted import Comparison, Inner, Trusted, comparison, comparison_label
from worker.signals.votes import NeighbourVotes, checkpoint_votes, embedding_votes

_SMALLEST = 1e-30  # probability

Matrix = Float[Tensor, "k e"]
ReadCheckpoint = Callable[[int, bool], tuple[Matrix | None, Matrix | None]]


@dataclass(frozen=True)
class Unseen:
    """Probabilities by models that had not learnt from the sample: of the training samples, and of m verified ones."""

    train: Float[Tensor, "n c"]
    known: Float[Tensor, "m c"]
    known_labels: Int[Tensor, " m"]


@dataclass(frozen=True, kw_only=True)
class Answers:
    """What the logits alone tell. `unseen`: only for out-of-sample predictions."""

    labels: Int[Tensor, " n"]
    dynamics: Dynamics
    unseen: Unseen | None = None


@dataclass(frozen=True, kw_only=True)
class Measurements(Answers):
    """All that formulas read. `embedding_votes` only for embeddings, `trusted` only with a trusted reference, `out_of_bag` only for trees.

    `by_trees`: only where trees answer beside a network. `grouped`: samples are in groups, which votes, position, pairs and
    `trusted` leave out as a whole.
    """

    influence: ClassInfluence
    pairs: PairSums
    votes: NeighbourVotes
    position: Position
    embedding_votes: Float[Tensor, "n c"] | None
    trusted: Trusted | None
    confusion: ConfusionMargin
    out_of_bag: Float[Tensor, "n c"] | None = None
    by_trees: Float[Tensor, "n c"] | None = None
    grouped: bool = False


def searched_checkpoints(trace: Trace) -> list[int]:
    """The checkpoints at which neighbours are searched: the first and the last. One more found nothing more."""
    # Where activations never change, neither do neighbours.
    return [0] if trace.shared else sorted({0, len(trace.rates) - 1})


def measure_checkpoints(
    train: Trace,
    labels: Int[Tensor, " n"],
    reference: ReferenceSamples,
    classes: int,
    seed: int,
    read: ReadCheckpoint,
    *,
    embeddings: Float[Tensor, "n f"] | None = None,
    known_embeddings: Float[Tensor, "m f"] | None = None,
    chosen: Chosen | None = None,
    groups: SampleGroups | None = None,
    out_of_bag: Float[Tensor, "n c"] | None = None,
    by_trees: Float[Tensor, "n c"] | None = None,
    relabelled: bool = True,
    precision: Precision = "exact",
    begin: Begin = alone,
    device: torch.device = CPU,
    on_progress: OnShare = lambda _share: None,
) -> Measurements:
    """Measure each checkpoint, then every pair.

    `read(t, inner)` is called once for each checkpoint, in order. It fills row t of the traces, and with `inner` returns
    the input of the layer before the last, of the training samples and of a reference of its own. Each measurement draws
    the rows that stand for many from `seed` by itself, so that none depends on what else is measured. With `groups` each
    sample's own group is left out of what it is compared with. `known_embeddings`: `embeddings` of a reference of its own.
    Without `relabelled`, influence after relabelling is left out, which takes two more passes over all pairs. `precision` is that of pairs on a GPU.
    `begin` begins what others may share, or what a `device` computes; `on_progress` receives the share done, in (0, 1].
    """
    compared = reference.trusted and len(reference.labels) >= FEWEST
    searched = searched_checkpoints(train)
    begun = [comparison_label(t) for t in searched] if compared else []
    progress = MeasuringProgress(on_progress, begun, len(train.rates), is_training_set=reference.is_training_set)
    influence = ClassInfluence.empty(len(train.rates), len(labels), classes)
    by_class = _begin_class_influence(train, labels, reference, chosen, classes, begin, device, progress)
    comparisons: list[tuple[Callable[[], Arrays], StrangenessRows]] = []
    first: _First | None = None
    for t in range(len(train.rates)):
        wanted = t == 0 or (compared and t in searched)
        values, reference_values = read(t, wanted)
        if by_class is not None:
            by_class.add_checkpoint()
        if wanted:
            if values is None:
                raise ValueError("a checkpoint was read without the input of the layer before the last")
            if not compared:
                reference_values = None
            if reference_values is not None:
                inner = _inner(values, reference_values, _seed(seed, t))
                one, strange = comparison(train, labels, reference, t, *inner, _seed(seed, t), groups)
                comparisons.append((begin(one, progress.of(one.label)), strange))
                del inner, one
            # What takes long is begun before what may be too short to be shared, which is then computed at once.
            if t == 0:
                given = None if embeddings is None or groups is not None else (embeddings, known_embeddings)
                features = _first_features(values, reference_values, given, seed)
                first = _begin_first(features, labels, classes, reference, groups, seed, begin, progress)
        # They are large where they are wanted, and must not be held while others are read or pairs are computed.
        del values, reference_values
        progress.add("checkpoints", (t + 1) / len(train.rates))
    if first is None:
        raise ValueError("a training of no checkpoint")
    pairs = _begin_pairs(
        train,
        labels,
        reference,
        chosen,
        groups,
        classes,
        by_class,
        begin,
        progress.of("pairs"),
        relabelled=relabelled,
        precision=precision,
    )
    # What others share goes on meanwhile.
    votes = [
        checkpoint_votes(train.activations[t], labels, reference, classes, t, _draws(_seed(seed, t)), groups, device)
        for t in searched
    ]
    frozen = None if embeddings is None else embedding_votes(embeddings, labels, classes, _draws(seed), groups, device)
    scores = first.choose_penalty()
    placed = first.features.placed
    within = within_labels(placed, labels, classes, seed, None if groups is None else groups.train)
    progress.add("rest", 1.0)
    guess, reference_guess = _guesses(scores, reference)
    place = Position(placed, guess, within.groups, within.label_distance, first.isolated())
    found = [Comparison.of(arrays(), strange) for arrays, strange in comparisons]
    trusted = None if reference_guess is None else Trusted.over(found, reference.labels, reference_guess)
    sums = pairs(influence)
    on_progress(1.0)
    voted = NeighbourVotes.over(votes)
    return Measurements(
        labels=labels,
        dynamics=learning_dynamics(train.logits, labels),
        influence=influence,
        pairs=sums,
        votes=voted,
        position=place,
        embedding_votes=frozen,
        trusted=trusted,
        confusion=_confusion(train, labels, place, voted, frozen, out_of_bag, by_trees),
        out_of_bag=out_of_bag,
        by_trees=by_trees,
        grouped=groups is not None,
    )


def _confusion(
    train: Trace,
    labels: Int[Tensor, " n"],
    place: Position,
    voted: NeighbourVotes,
    frozen: Float[Tensor, "n c"] | None,
    out_of_bag: Float[Tensor, "n c"] | None,
    by_trees: Float[Tensor, "n c"] | None,
) -> ConfusionMargin:
    if out_of_bag is None:
        held_out = held_out_prediction(place.guess, voted.first, voted.mean, frozen, labels, by_trees)
        return confusion_margin(train.logits, held_out, labels, by_trees)
    # Neither has seen the sample's own label, so that nothing needs to be corrected.
    both = (torch.softmax(train.logits[-1], 1) + out_of_bag) / 2
    return confusion_margin(both.clamp(min=_SMALLEST).log()[None], both, labels)


def _guesses(
    scores: EndScores, reference: ReferenceSamples
) -> tuple[Float[Tensor, "n c"], Float[Tensor, "m c"] | None]:
    """Held-out guesses of the training and the reference samples."""
    guess, known_guess = scores()
    if known_guess is not None and reference.training_rows is not None:
        # A verified training row is in the fit, but not in its own held-out guess.
        inside = reference.training_rows >= 0
        known_guess[inside] = guess[reference.training_rows[inside]]
    return guess, known_guess


def _inner(values: Float[Tensor, "n e"], known: Float[Tensor, "m e"], seed: int) -> tuple[Inner, Inner]:
    features, known_features = common_features(values, known, _draws(seed))
    return Inner(values, features), Inner(known, known_features)


@dataclass(frozen=True)
class _FirstFeatures:
    """Features of the samples at the first checkpoint. `placed`: principal features. `features`: the embeddings; without any, `placed`."""

    placed: Float[Tensor, "n w"]
    features: Float[Tensor, "n v"]
    known_features: Float[Tensor, "m v"] | None


def _first_features(
    values: Float[Tensor, "n e"],
    reference_values: Float[Tensor, "m e"] | None,
    embeddings: tuple[Float[Tensor, "n f"], Float[Tensor, "m f"] | None] | None,
    seed: int,
) -> _FirstFeatures:
    placed, known = principal_features(values, reference_values, _draws(_seed(seed, 0)))
    if embeddings is None:
        return _FirstFeatures(placed, placed, known)
    if reference_values is None:
        return _FirstFeatures(placed, embeddings[0], None)
    if embeddings[1] is None:
        raise ValueError("embeddings of the training samples came without those of the reference")
    return _FirstFeatures(placed, *embeddings)


@dataclass(frozen=True)
class _First:
    """What is begun at the first checkpoint: held-out guesses, and distances from all others."""

    features: _FirstFeatures
    choose_penalty: ChoosePenalty
    isolated: Callable[[], Float[Tensor, " n"]]


def _begin_first(
    features: _FirstFeatures,
    labels: Int[Tensor, " n"],
    classes: int,
    reference: ReferenceSamples,
    groups: SampleGroups | None,
    seed: int,
    begin: Begin,
    progress: MeasuringProgress,
) -> _First:
    choose = begin_held_out_scores(
        features.features,
        # By all that is known of the labels of the others.
        reference.corrected(labels),
        classes,
        features.known_features,
        groups,
        begin=begin,
        on_errors=progress.of("errors"),
        on_scores=progress.of("guess"),
    )
    own = None if groups is None else groups.train
    isolated = begin_isolation(features.placed, _draws(seed), own, begin=begin, on_share=progress.of("isolation"))
    return _First(features, choose, isolated)


def _is_by_pairs(reference: ReferenceSamples, chosen: Chosen | None, device: torch.device) -> bool:
    # Every pair with a reference of its own is computed anyway; for wide layers, products with sums would cost more. Kernels for GPUs keep no pair.
    return chosen is not None and not reference.is_training_set and device == CPU


def _begin_class_influence(
    train: Trace,
    labels: Int[Tensor, " n"],
    reference: ReferenceSamples,
    chosen: Chosen | None,
    classes: int,
    begin: Begin,
    device: torch.device,
    progress: MeasuringProgress,
) -> BegunClassInfluence | None:
    """By products with the sums of the reference's gradients; None where it is added up from the pairs."""
    if _is_by_pairs(reference, chosen, device):
        return None
    source: GradientSource = LastLayerGradients(train) if chosen is None else chosen.train
    # A training set that serves as its own reference does so whole: sums need no drawn columns.
    known, known_labels = (source if chosen is None or chosen.reference is None else chosen.reference), labels
    if not reference.is_training_set:
        known_labels = reference.labels
        known = LastLayerGradients(reference.trace) if chosen is None else known
    return BegunClassInfluence(
        source,
        labels,
        known,
        known_labels,
        classes,
        train.rates,
        reference.is_training_set,
        begin,
        lambda t: progress.of(influence_label(t)),
        device,
    )


def _begin_pairs(
    train: Trace,
    labels: Int[Tensor, " n"],
    reference: ReferenceSamples,
    chosen: Chosen | None,
    groups: SampleGroups | None,
    classes: int,
    by_class: BegunClassInfluence | None,
    begin: Begin,
    on_share: OnShare,
    *,
    relabelled: bool,
    precision: Precision,
) -> Callable[[ClassInfluence], PairSums]:
    """Begin to compute all pairs of different groups. The function that is returned waits for them and gives their sums.

    That function also fills in the influence at each checkpoint: `by_class`, or, without it, what is added up from the pairs.
    """
    source: GradientSource = LastLayerGradients(train)
    columns: GradientSource
    if chosen is None:
        trace = reference.trace if reference.columns is None else reference.trace.rows(reference.columns)
        columns = LastLayerGradients(trace)
    else:
        source, columns = chosen.train, chosen.columns
    own, related = reference.own_columns(len(labels)), None
    if groups is not None and reference.columns is not None:
        related = Related.in_training_set(groups.train, reference.columns, labels, classes)
    elif groups is not None:
        related = Related(groups.train, groups.reference)
    counted = PairsCounted(reference.weights, own, related)
    inputs = PairInputs(
        source,
        labels,
        columns,
        reference.labels,
        train.rates,
        classes,
        counted,
        by_checkpoint=by_class is None,
        relabelled=relabelled,
        precision=precision,
    )
    arrays = begin(pair_computation(inputs), on_share)
    if by_class is not None:
        by_class.begin_rest()

    def end(influence: ClassInfluence) -> PairSums:
        if by_class is not None:
            by_class.end(influence)
        sums, found = pair_sums_of(arrays(), reference.labels, len(train.rates), counted)
        sizes = reference.labels.bincount(minlength=classes)
        for t, one in enumerate(found):
            influence.fill(t, one, labels, sizes, is_training_set=False)
        return sums

    return end


def _seed(seed: int, t: int) -> int:
    return seed * 1_000_003 + t


def _draws(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)
