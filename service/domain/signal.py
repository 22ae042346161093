"""The table of signals: what each one means and where it comes from. The formulas are in worker.signals.

Every score that is served points the same way: higher = more suspicious. Notation as in the README: `I_ij` is the
TracIn influence of training sample i on reference sample j (arXiv:2002.08484), T checkpoints, classes c, margin
`z_y - max_{c != y} z_c`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, computed_field

Cost = Literal["free", "linear", "pairs", "neighbours"]
Need = Literal["reference", "pairs", "neighbours", "trusted_reference", "embeddings", "training", "features"]


class Signal(BaseModel):
    """One row of the table."""

    model_config = ConfigDict(frozen=True)

    name: str
    title: str
    high: str = Field(description="What a high value means.")
    formula: str
    source: str
    cost: Cost = Field(
        description="free: from the training run alone; linear: one product a sample; pairs: every training sample "
        "against every reference sample; neighbours: nearest neighbours in the model's features."
    )
    direction: Literal["higher_is_suspicious"] = "higher_is_suspicious"
    trusted_reference: bool = Field(False, description="Computed only when the job has a trusted reference.")
    embeddings: bool = Field(False, description="Computed only for datasets of embeddings.")
    training: bool = Field(
        False, description="Follows a training over its checkpoints: not computed of out-of-sample predictions."
    )
    predictions: bool = Field(
        False, description="Computed of out-of-sample predictions that come without `features`, too."
    )
    headline: bool = Field(False, description="One of the two answers; its scores are in [0, 1].")

    @computed_field(description="Beside the answers of a model. features: what enters its last layer.")  # type: ignore[prop-decorator]  # as pydantic documents it
    @property
    def needs(self) -> list[Need]:
        """Derived from the rest, so that the table says it once."""
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
        """Why out-of-sample predictions, with or without features, do not give it; None where they do."""
        if self.training:
            return "it follows a training over its checkpoints, and these are predictions of models that never saw the sample"
        if self.embeddings:
            return "it is computed for datasets of embeddings only; of predictions knn_vote says the same of `features`"
        if not (features or self.predictions):
            return "it needs `features`, which the upload has not beside pred_probs"
        return None


_KDD = "Data Glitches Discovery using Influence-based Model Explanations, KDD 2025"
_PAPER = "arXiv:2506.11584"

_TABLE = (
    Signal(
        name="mislabeled",
        title="Mislabeled",
        high="the label is probably wrong",
        formula="mean of rank(aum_early), rank(loss), rank(knn_vote); embeddings: and rank(frozen_vote); trusted reference: "
        "and rank(gc_own). Of out-of-sample predictions p: mean of rank(margin of log p) and rank(sum_{c != y} m_cy q_c / q_y), "
        "m_cy = how often samples of class c, labelled otherwise, are labelled y by the confident joint; q = p, with features "
        "(1 - w) p + w v, w = the share of the vote v beside p in the likeliest mixture of both and chance, and rank(knn_vote) with weight 2w. Stretched so that 0.5 is "
        "the cut-off of the estimate",
        source="Usual Suspects",
        cost="neighbours",
        headline=True,
        predictions=True,
    ),
    Signal(
        name="anomalous",
        title="Anomalous",
        high="lies where trusted samples do not, or more densely than they, whatever its label",
        formula="trusted reference: 1 - p, p = 1 / (1 + 19^z), z = max(remoteness, crowding, divergence), beyond 1 as "
        "1 + log z; without: the same of label_distance and, where a label falls into two heaps, of the gap",
        source="Usual Suspects",
        cost="neighbours",
        headline=True,
    ),
    Signal(
        name="si",
        title="Self-influence",
        high="the sample had to be learnt by heart",
        formula="sum_t eta_t |g_i^t|^2",
        source="TracIn, arXiv:2002.08484",
        cost="free",
    ),
    Signal(
        name="aai",
        title="Average absolute influence",
        high="strong influence on the reference, either way",
        formula="mean_j |I_ij|",
        source=_PAPER,
        cost="pairs",
    ),
    Signal(
        name="mai",
        title="Marginal absolute influence",
        high="strong influence on the reference, either way",
        formula="sum_j |I_ij|",
        source=_PAPER,
        cost="pairs",
    ),
    Signal(
        name="mi",
        title="Marginal influence, negated",
        high="raises the loss of the reference as a whole; as published (not negated) it finds nothing",
        formula="-sum_j I_ij",
        source=_PAPER,
        cost="linear",
    ),
    Signal(
        name="mpi",
        title="Marginal positive influence",
        high="helps much of the reference",
        formula="sum_j max(I_ij, 0)",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="mni",
        title="Marginal negative influence",
        high="hurts much of the reference",
        formula="-sum_j min(I_ij, 0)",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="gd_class",
        title="Gradient-dot by class",
        high="there is a class whose reference samples it hurts as a whole",
        formula="-min_c sum_{j: y_j=c} I_ij",
        source="Nguyen-Duc et al. 2023",
        cost="linear",
    ),
    Signal(
        name="nil",
        title="Negative influence on its label",
        high="hurts reference samples of its own label",
        formula="-sum_{j: y_j=y_i} min(I_ij, 0)",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="nil_opt",
        title="Negative influence on the class it hurts most",
        high="there is a class that it hurts",
        formula="-min_c sum_{j: y_j=c} min(I_ij, 0)",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="slip",
        title="Same-label positive count, negated",
        high="helps few samples of its own label",
        formula="-#{j: y_j=y_i, I_ij>0}",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="slin",
        title="Same-label negative count",
        high="hurts many samples of its own label",
        formula="#{j: y_j=y_i, I_ij<0}",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="cnci",
        title="Negative influence on its repaired label",
        high="with the label of the class that it hurts most it does not hurt the class that it was given",
        formula="sum_{j: y_j=y_i} min(I'_ij, 0), I': relabelled to arg min_c sum_{j: y_j=c} min(I_ij, 0), last checkpoint",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="pcid",
        title="Positive influence that does not move",
        high="helps nobody much, whichever label it has",
        formula="1 / (mpi_i max_c |P_ic - P'_ic|), P_ic = sum_{j: y_j=c} max(I_ij, 0), P' relabelled to its second class, last checkpoint",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="cfrank",
        title="Joint rank of CNCI and PCID",
        high="high by one of the two; the larger tells mislabeled from anomalous",
        formula="max(rank(cnci), rank(pcid))",
        source=_KDD,
        cost="pairs",
    ),
    Signal(
        name="relatif",
        title="Relative influence, negated",
        high="for the length of its gradient it helps the reference little",
        formula="-mean_j I_ij / |g_i|, |g_i|^2 = sum_t eta_t |g_i^t|^2",
        source="RelatIF, arXiv:2003.11630",
        cost="linear",
    ),
    Signal(
        name="gc_own",
        title="Cosine with its class, negated",
        high="pulls the model elsewhere than the reference samples of its label do",
        formula="mean_t rank(-cos(g_i, mean_{j: y_j=y_i} g_j / |g_j|) )",
        source="Usual Suspects",
        cost="linear",
    ),
    Signal(
        name="gc_margin",
        title="Class influence margin, negated",
        high="pulls the model the way of another class rather than of its own",
        formula="mean_t rank(max_{c != y} m_c - m_y), m_c = <g_i / |g_i|, mean_{j: y_j=c} g_j / |g_j|>",
        source="Usual Suspects",
        cost="linear",
    ),
    Signal(
        name="aum",
        title="Area under the margin, negated",
        high="another class scored higher all through training",
        formula="-mean_t margin_i^t",
        source="arXiv:2001.10528",
        cost="free",
        training=True,
    ),
    Signal(
        name="aum_early",
        title="Early area under the margin, negated",
        high="another class scored higher before the sample was memorised",
        formula="-mean_{t <= max(2, T/3)} margin_i^t",
        source="Usual Suspects",
        cost="free",
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
        high="large steps all through training",
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
        high="the probability of its label went up and down",
        formula="sd_t p_y",
        source="Dataset Cartography, arXiv:2009.10795",
        cost="free",
        training=True,
    ),
    Signal(
        name="forgetting",
        title="Forgetting events",
        high="learnt and lost again, or never learnt (T + 1)",
        formula="#{t: right at t, wrong at t+1}",
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
    ),
    Signal(
        name="knn_vote",
        title="Neighbour vote, negated",
        high="its nearest neighbours carry another label",
        formula="-mean_t [v_y - max_{c != y} v_c], v = cosine-weighted vote of the 10 nearest",
        source="Usual Suspects",
        cost="neighbours",
    ),
    Signal(
        name="frozen_vote",
        title="Neighbour vote in the embeddings, negated",
        high="its nearest neighbours in the embeddings as given carry another label",
        formula="-[v_y - max_{c != y} v_c], v = cosine-weighted vote of the 20 nearest",
        source="Usual Suspects",
        cost="neighbours",
        embeddings=True,
    ),
    Signal(
        name="held_out_guess",
        title="Left-out linear guess, negated",
        high="a linear classifier of all other samples gives it another label",
        formula="-[r_y - max_{c != y} r_c], r = leave-one-out ridge regression on the features of the first checkpoint",
        source="Allen 1974 (PRESS)",
        cost="neighbours",
    ),
    Signal(
        name="influence_density",
        title="Influence density",
        high="the training set is denser around its influence than the reference is",
        formula="mean_t rank(log mean_{j in train} exp((cos(g_i, g_j) - 1) / 0.1) - log mean_{j in reference} exp((cos(g_i, g_j) - 1) / 0.1)), first and last checkpoint",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="support_same",
        title="Missing support of its label",
        high="no trusted sample of its label is like it",
        formula="mean_t rank(1 - mean of the 10 largest cos(b_i, b_j), y_j = y_i)",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="support_all",
        title="Missing support",
        high="no trusted sample of any label is like it",
        formula="mean_t rank(1 - mean of the 10 largest cos(b_i, b_j))",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="remoteness",
        title="Remoteness",
        high="far from every trusted sample",
        formula="mean_t z(log distance to the k-th nearest reference sample); z: 0 = median, 1 = 95 % quantile of the reference itself",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="crowding",
        title="Crowding",
        high="many training samples where there are few trusted ones",
        formula="mean_t z(log number of training samples within the distance to the k-th nearest reference sample)",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="divergence",
        title="Divergence",
        high="a mixture of values that no trusted sample has",
        formula="mean_t z(log distance to the k-th nearest reference sample, between directions)",
        source="Usual Suspects",
        cost="pairs",
        trusted_reference=True,
    ),
    Signal(
        name="support_self",
        title="Missing support inside its label",
        high="unlike the nearer half of its own label",
        formula="mean_t rank(1 - mean of the k largest cos(b_i, b_j), y_j = y_i, j != i), k = half of the label",
        source="Usual Suspects",
        cost="neighbours",
    ),
    Signal(
        name="label_distance",
        title="Distance from its label",
        high="far from most of its own label",
        formula="z(log distance within which half of its label lies)",
        source="Usual Suspects",
        cost="neighbours",
    ),
    Signal(
        name="label_split",
        title="Gap inside its label",
        high="in the tighter of two heaps that its label falls into",
        formula="share of the variance between the two means of its label, along the line through them; 0 outside the tighter heap",
        source="Usual Suspects",
        cost="neighbours",
    ),
)

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in _TABLE}
HEADLINES = tuple(name for name, signal in SIGNALS.items() if signal.headline)
