"""The table of signals: meaning, formula, source and cost of each. worker.signals.formulas computes them.

Every score points the same way: higher = more suspicious. `NOTATION` explains the letters of the formulas.
tests/equivalence holds the code to the formulas.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

Cost = Literal["free", "linear", "pairs", "neighbours"]
Need = Literal["reference", "pairs", "neighbours", "trusted_reference", "embeddings", "training", "features"]

NOTATION = (
    "Letters: i = training sample, j = reference sample, y = given label, c = class, t = 1..T = checkpoint, eta_t = "
    "learning rate, g = gradient of the loss with respect to the layers of `influence` (influence_density: the last "
    "layer), I_ij = sum_t eta_t <g_i^t, g_j^t> = TracIn influence (arXiv:2002.08484); for boosted_trees t = block of ten rounds, g has one number "
    "for each leaf, (g + theta h) / sqrt(H + penalty) of i and g / sqrt(H + penalty) of j in the leaf that each tree puts them in, where theta = -G / (H + penalty) and g, h, G, H are those of "
    "final_loss (BoostIn, arXiv:2205.00359). z = logits, p = softmax(z), "
    "margin(v) = v_y - max_{c != y} v_c, a = input of the last layer, b = input of the layer before it (a where there is "
    "none), x = b in its first 32 principal directions. A sample never counts for itself. Where the dataset has groups "
    "(spec.group), no sample of i's group counts for i, except in what sums over whole classes (mi, relatif, gd_class, gc_own, "
    "gc_margin, label_split, mahalanobis). rank = rank / n, in (0, 1]. "
    "unit = on the scale where 0 is the median and 1 the 95 % quantile."
)


class Signal(BaseModel):
    """One row of the table."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    high: str = Field(description="What a high value means.")
    formula: str = Field(description=NOTATION)
    source: str
    cost: Cost = Field(
        description="free: from the training run alone; linear: one product a sample; pairs: every training sample "
        "against every reference sample; neighbours: nearest neighbours in the model's features."
    )
    direction: Literal["higher_is_suspicious"] = "higher_is_suspicious"
    trusted_reference: bool = Field(False, description="Computed only when the job has a trusted reference.")
    embeddings: bool = Field(False, description="Computed only for datasets of embeddings.")
    training: bool = Field(
        False, description="Compares the checkpoints of a training: not computed for out-of-sample predictions."
    )
    predictions: bool = Field(False, description="Also computed for out-of-sample predictions without `features`.")
    weights: bool = Field(
        False, description="Reads gradients of weights: not computed for boosted trees, which have none."
    )
    trees: bool = Field(False, description="Computed only for boosted trees.")
    relabelled: bool = Field(
        False,
        description="Compares with influence after relabelling. Jobs with such a signal go over all pairs two times more.",
    )
    headline: bool = Field(False, description="One of the two answers; its scores are in [0, 1].")

    @computed_field(description="What is needed beside the logits of a model. features: inputs of its last layer.")  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def needs(self) -> list[Need]:
        """Derived from the other fields."""
        asked: list[tuple[Need, bool]] = [
            ("reference", self.cost in ("linear", "pairs") or self.trusted_reference),
            ("pairs", self.cost == "pairs"),
            ("neighbours", self.cost == "neighbours"),
            ("trusted_reference", self.trusted_reference),
            ("embeddings", self.embeddings),
            ("training", self.training),
            ("features", not (self.training or self.predictions)),
        ]
        return [need for need, wanted in asked if wanted]

    def unsuited(self, *, features: bool) -> str | None:
        """Why the signal cannot be computed from out-of-sample predictions, with or without features; None if it can."""
        if self.training:
            return "it compares the checkpoints of a training, and these predictions come without one"
        if self.embeddings:
            return "it is computed for datasets of embeddings only; knn_vote is its counterpart for `features`"
        if not (features or self.predictions):
            return "it needs `features`, and the upload has only pred_probs"
        return self.unsuited_for_networks()

    def unsuited_for_trees(self) -> str | None:
        """Why the signal cannot be computed for boosted trees; None if it can."""
        if self.weights:
            return "it reads gradients of weights, and trees have none"
        return "it is computed for datasets of embeddings only" if self.embeddings else None

    def unsuited_for_networks(self) -> str | None:
        """Why the signal cannot be computed for anything but boosted trees; None if it can."""
        return "it is computed for the model boosted_trees only" if self.trees else None


_KDD = "Data Glitches Discovery using Influence-based Model Explanations, KDD 2025"
_PAPER = "arXiv:2506.11584"

_TABLE = (
    Signal(
        name="mislabeled",
        title="Mislabeled",
        high="the label is probably wrong",
        formula="rank(confusion_margin); where the dataset has groups the mean of it and of rank(held_out_guess); with a trusted reference "
        "also of rank(gc_own), with weight 0.25. From out-of-sample predictions p: mean of rank(-margin(log p)), "
        "rank(sum_{c != y} m_cy q_c / q_y), with features rank(knn_vote) with weight 2 w, and with a trusted reference "
        "rank(gc_own). Without features q = p; with features q = (1 - w) p + w v, v = vote of knn_vote, w = weight of v "
        "beside p in the likeliest mixture of p, v and the class frequencies. m_cy = mean of 1 / (C - 1) and of the share "
        "labelled y, counts plus 1, of the samples that the confident joint puts in class c and that are labelled "
        "otherwise. Rescaled, so that 0.5 is the cut-off of the estimate",
        source="Usual Suspects",
        cost="neighbours",
        headline=True,
        predictions=True,
    ),
    Signal(
        name="anomalous",
        title="Anomalous",
        high="lies where trusted samples do not, or more densely than they do, whatever its label",
        formula="1 - 1 / (1 + 19^s), s = u up to 1, else 1 + log u. With a trusted reference u = max(remoteness, crowding, "
        "divergence); without one u = max(h(label_distance), h(mahalanobis), h(isolation), (label_split - 0.80) / 0.06), the last only where "
        "label_split > 0.86; h(v) = 0.41 (v - median) / (75 % quantile - median)",
        source="Usual Suspects",
        cost="neighbours",
        headline=True,
    ),
    Signal(
        name="si",
        title="Self-influence",
        high="the model had to memorise the sample",
        formula="sum_t eta_t |g_i^t|^2",
        source="TracIn, arXiv:2002.08484",
        cost="free",
    ),
    Signal(
        name="aai",
        title="Average absolute influence",
        high="strong influence on the reference, in either direction",
        formula="mean_j |I_ij|",
        source=_PAPER,
        cost="pairs",
    ),
    Signal(
        name="mai",
        title="Marginal absolute influence",
        high="strong influence on the reference, in either direction",
        formula="sum_j |I_ij|",
        source=_PAPER,
        cost="pairs",
    ),
    Signal(
        name="mi",
        title="Marginal influence, negated",
        high="raises the loss of the reference as a whole; without the minus sign, as published, it finds nothing",
        formula="-sum_j I_ij",
        source=_PAPER,
        cost="linear",
    ),
    Signal(
        name="mpi",
        title="Marginal positive influence",
        high="lowers the loss of much of the reference",
        formula="sum_j max(I_ij, 0)",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="mni",
        title="Marginal negative influence",
        high="raises the loss of much of the reference",
        formula="-sum_j min(I_ij, 0)",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="gd_class",
        title="Gradient-dot by class",
        high="raises the loss of the reference samples of some class as a whole",
        formula="-min_c sum_{j: y_j=c} I_ij",
        source="Nguyen-Duc et al. 2023",
        cost="linear",
    ),
    Signal(
        name="nil",
        title="Negative influence on its label",
        high="raises the loss of reference samples with its own label",
        formula="-sum_{j: y_j=y_i} min(I_ij, 0)",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="nil_opt",
        title="Negative influence on the class it harms most",
        high="raises the loss of reference samples of some class",
        formula="-min_c sum_{j: y_j=c} min(I_ij, 0)",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="slip",
        title="Same-label positive count, negated",
        high="lowers the loss of few reference samples with its own label",
        formula="-#{j: y_j=y_i, I_ij>0}",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="slin",
        title="Same-label negative count",
        high="raises the loss of many reference samples with its own label",
        formula="#{j: y_j=y_i, I_ij<0}",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="cnci",
        title="Negative influence after relabelling",
        high="relabelled to the class that it harms most, it no longer harms the class of its given label",
        formula="sum_{j: y_j=y_i} min(I'_ij, 0), I' = influence at the last checkpoint with sample i relabelled to arg min_c sum_{j: y_j=c} min(I_ij, 0)",
        source=_KDD,
        cost="pairs",
        relabelled=True,
    ),
    Signal(
        name="pcid",
        title="Positive influence unchanged by relabelling",
        high="lowers the loss of few reference samples, and relabelling changes that little",
        formula="1 / (mpi_i max_c |P_ic - P'_ic|), P_ic = sum_{j: y_j=c} max(I_ij, 0), P' = the same at the last checkpoint with sample i relabelled to the class of the second largest P_ic",
        source=_KDD,
        cost="pairs",
        relabelled=True,
    ),
    Signal(
        name="cfrank",
        title="Joint rank of CNCI and PCID",
        high="one of the two is high; which one tells mislabeled from anomalous",
        formula="max(rank(cnci), rank(pcid))",
        source=_KDD,
        cost="pairs",
        relabelled=True,
    ),
    Signal(
        name="relatif",
        title="Relative influence, negated",
        high="lowers the loss of the reference little for the length of its gradient",
        formula="-mean_j I_ij / |g_i|, |g_i|^2 = sum_t eta_t |g_i^t|^2",
        source="RelatIF, arXiv:2003.11630",
        cost="linear",
        weights=True,
    ),
    Signal(
        name="gc_own",
        title="Cosine with its class, negated",
        high="its gradient points away from those of the reference samples with its label",
        formula="mean_t rank(-mean_{j: y_j=y_i} cos(g_i, g_j))",
        source="Usual Suspects",
        cost="linear",
    ),
    Signal(
        name="gc_margin",
        title="Class influence margin, negated",
        high="its gradient is closer to those of another class than to those of its own",
        formula="mean_t rank(-margin(m)), m_c = mean_{j: y_j=c} cos(g_i, g_j)",
        source="Usual Suspects",
        cost="linear",
    ),
    Signal(
        name="aum",
        title="Area under the margin, negated",
        high="another class scored higher throughout training",
        formula="-mean_t margin(z_i^t)",
        source="arXiv:2001.10528",
        cost="free",
        training=True,
    ),
    Signal(
        name="aum_early",
        title="Early area under the margin, negated",
        high="another class scored higher before the sample was memorised",
        formula="-mean_{t <= E} margin(z_i^t), E = half of the checkpoints, rounded down, at least 2 and at most 5",
        source="Usual Suspects",
        cost="free",
        training=True,
    ),
    Signal(
        name="confusion_margin",
        title="Margin with confusions",
        high="a class whose samples often get this label suits it better",
        formula="mean_t log(max_{c != y} m_cy q_c^t / q_y^t), q^t = (1 - w) p^t + w h. h = likeliest mixture of r of held_out_guess and, "
        "for embeddings, v of frozen_vote, else v of knn_vote, or of its first checkpoint alone where the mean takes back more than a "
        "third of the contradictions of the labels; r and v at least 0.001, of sum 1, with the class frequencies as a third part that "
        "is then left out. w = twice the share of the labels that the last checkpoint predicts less that of h and less 0.02, from 0 to 0.5. N_cy = number of "
        "samples labelled y, counted for c != y, among the K_c samples, seven tenths of those that the confident joint of h puts in "
        "class c, in which h_c exceeds all other h by most; n_c = number of samples labelled c; a = n_y / n_c; s_cy = (N_cy + sum N / "
        "sum K) / (K_c + 1); v_cy = s_cy (1 - s_cy) / (K_c + 2); E_cy = max(0, min(N_cy - N_yc - 2 sqrt(N_cy + N_yc), N_cy - a N_yc "
        "- 2 sqrt(N_cy + a^2 N_yc), K_c (s_cy - s_yc - 2 sqrt(v_cy + v_yc)))); d = min(1, 5 sum E / sum N); "
        "m_cy = 1 + d (C - 1) (N_cy + 1 + 8 E_cy) / (C - 1 + sum_k N_ck). The same as aum where d = w = 0. For boosted_trees "
        "T = 1, w = 0 and q = h = b, b = mean of p at the end (see final_loss) and of the shares of out_of_bag. With such trees beside a "
        "network 0.4 p^t + 0.6 b is in place of p^t, and the likeliest mixture of h and b in place of h",
        source="Usual Suspects; AUM, arXiv:2001.10528; confident learning, arXiv:1911.00068",
        cost="neighbours",
        training=True,
    ),
    Signal(
        name="el2n",
        title="Error norm",
        high="far from its label on average",
        formula="mean_t |softmax(z_i^t) - e_y|",
        source="arXiv:2107.07075",
        cost="free",
        predictions=True,
    ),
    Signal(
        name="grand",
        title="Gradient norm",
        high="large gradients throughout training",
        formula="mean_t |g_i^t|",
        source="GraNd, arXiv:2107.07075",
        cost="free",
        training=True,
    ),
    Signal(
        name="loss",
        title="Mean loss",
        high="its label is improbable to the model",
        formula="mean_t -log p_y",
        source="Dataset Cartography, arXiv:2009.10795",
        cost="free",
        predictions=True,
    ),
    Signal(
        name="final_loss",
        title="Final loss",
        high="its label is improbable to the model at the end of training; for boosted trees to the same trees without the sample",
        formula="-log p_y at t = T. For boosted_trees all p^t are those without sample i: z_i^t = z_i^(t-1) + sum over the rounds and trees of t of "
        "eta_t max(-4, min(4, -(G - g_i) / (H - h_i + penalty))), G and H = sums over its leaf of g = p - 1[y] and h = C / (C - 1) p (1 - p), of two "
        "classes p (1 - p), at the beginning of the round",
        source="Usual Suspects",
        cost="free",
        training=True,
    ),
    Signal(
        name="out_of_bag",
        title="Out-of-bag error",
        high="its label is improbable to trees that were grown without it",
        formula="1 - share of label y in the leaves of the trees whose bag lacks i, of 150 trees of a random forest with at least 3 samples a leaf",
        source="Random forests, doi:10.1023/A:1010933404324",
        cost="free",
        training=True,
        trees=True,
    ),
    Signal(
        name="confidence",
        title="Mean confidence, negated",
        high="low probability of its label on average",
        formula="-mean_t p_y",
        source="Dataset Cartography, arXiv:2009.10795",
        cost="free",
        predictions=True,
    ),
    Signal(
        name="variability",
        title="Variability",
        high="the probability of its label varied during training",
        formula="sd_t p_y",
        source="Dataset Cartography, arXiv:2009.10795",
        cost="free",
        training=True,
    ),
    Signal(
        name="forgetting",
        title="Forgetting events",
        high="learnt and forgotten again, or never learnt (T + 1)",
        formula="#{t: margin(z^t) > 0, margin(z^(t+1)) <= 0}; T + 1 where no margin is above 0",
        source="arXiv:1812.05159",
        cost="free",
        training=True,
    ),
    Signal(
        name="late_influence",
        title="Late share of self-influence",
        high="was still being learnt when others were done",
        formula="sum_{t > 2T/3} eta_t |g_i^t|^2 / sum_t eta_t |g_i^t|^2",
        source="Usual Suspects",
        cost="free",
        training=True,
        weights=True,
    ),
    Signal(
        name="knn_vote",
        title="Neighbour vote, negated",
        high="its nearest neighbours have another label",
        formula="-margin(v), v = cosine-weighted vote of the 10 nearest training and trusted samples by cos(a_i, a_j), mean of the first and the last checkpoint",
        source="Usual Suspects",
        cost="neighbours",
    ),
    Signal(
        name="frozen_vote",
        title="Neighbour vote in the embeddings, negated",
        high="its nearest neighbours in the uploaded embeddings have another label",
        formula="-margin(v), v = cosine-weighted vote of the 20 nearest training samples in the uploaded embeddings",
        source="Usual Suspects",
        cost="neighbours",
        embeddings=True,
    ),
    Signal(
        name="held_out_guess",
        title="Held-out linear prediction, negated",
        high="a linear classifier trained on all other samples predicts another label",
        formula="-margin(r), r = leave-one-out ridge regression of the labels on the standardised embeddings, or on x of the first checkpoint "
        "where there are none or the dataset has groups; penalty n times 0.001, 0.01, 0.1 or 1, by the smallest leave-one-out error",
        source="Allen 1974 (PRESS)",
        cost="neighbours",
    ),
    Signal(
        name="influence_density",
        title="Influence density",
        high="more training than trusted samples have a gradient like its own",
        formula="rank(log mean_{j in train} exp((cos(g_i, g_j) - 1) / 0.1) - log mean_{j in reference} exp((cos(g_i, g_j) - 1) / 0.1)), mean of the first and the last checkpoint",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
        weights=True,
    ),
    Signal(
        name="support_same",
        title="Missing support of its label",
        high="no trusted sample of its label is similar to it",
        formula="rank(1 - mean of the 10 largest cos(b_i, b_j) with y_j = y_i), mean of the first and the last checkpoint",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="support_all",
        title="Missing support",
        high="no trusted sample of any label is similar to it",
        formula="rank(1 - mean of the 10 largest cos(b_i, b_j)), mean of the first and the last checkpoint",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="remoteness",
        title="Remoteness",
        high="far from every trusted sample",
        formula="unit(log d_i), d_i = distance of x_i to the k-th nearest reference sample, x centred and turned by training and reference samples together, k = m / 100, rounded down, at least 1 and at most 5; unit of the reference samples; mean of the first and the last checkpoint, without the last where the median of the training samples is above 0.3 there",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="crowding",
        title="Crowding",
        high="many training samples where there are few trusted ones",
        formula="unit(log(1 + number of training samples nearer than d_i)), where one sample more than at the median is at least 1; d_i and the rest as for remoteness",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="divergence",
        title="Divergence",
        high="combines values as no trusted sample does",
        formula="the same as remoteness, for x_j / |x_j|",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="support_self",
        title="Missing support inside its label",
        high="not similar even to the nearer half of its own label",
        formula="rank(1 - mean of the k largest cos(a_i, a_j) over training samples with y_j = y_i), k = half of the samples of the label, mean of the first and the last checkpoint",
        source="Usual Suspects",
        cost="neighbours",
    ),
    Signal(
        name="label_distance",
        title="Distance from its label",
        high="far from most of its own label",
        formula="unit(log distance of x_i within which half of its label lies), first checkpoint; unit of the training samples",
        source="Usual Suspects",
        cost="neighbours",
    ),
    Signal(
        name="mahalanobis",
        title="Mahalanobis distance from its label",
        high="far from its label along directions in which samples hardly vary",
        formula="unit(log sqrt((x_i - m_y)^T S^-1 (x_i - m_y))), m_y = mean of the other samples of its label, S = covariance of all samples "
        "around the means of their labels, plus 0.01 of each variance; both without the tenth of the samples that is farthest "
        "when all count; first checkpoint; unit of the training samples",
        source="Mahalanobis 1936; arXiv:1807.03888",
        cost="neighbours",
    ),
    Signal(
        name="isolation",
        title="Isolation",
        high="far from all other samples, whatever their label",
        formula="unit(log distance of x_i to its 10th nearest training sample), of more than 2,000 among 2,000 drawn ones, first checkpoint; "
        "unit of the training samples",
        source="Ramaswamy et al. 2000",
        cost="neighbours",
    ),
    Signal(
        name="label_split",
        title="Gap inside its label",
        high="in the tighter of two clusters that its label splits into",
        formula="share of the variance along the line through the two means of its label (2-means of x, first checkpoint) that lies between them; 0 outside the tighter cluster and for labels of fewer than 8 samples",
        source="Usual Suspects",
        cost="neighbours",
    ),
)

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in _TABLE}
HEADLINES = tuple(name for name, signal in SIGNALS.items() if signal.headline)
# What jobs compute whose client names none: on trees, on networks, and on predictions with and without features.
_SUITED = frozenset(
    frozenset(signal.name for signal in _TABLE if why(signal) is None)
    for why in (
        Signal.unsuited_for_trees,
        Signal.unsuited_for_networks,
        lambda signal: signal.unsuited(features=True),
        lambda signal: signal.unsuited(features=False),
    )
)


def are_chosen(names: list[str]) -> bool:
    """Whether a client chose these signals of a job, rather than leaving the choice to the service."""
    return bool(names) and frozenset(names) not in _SUITED
