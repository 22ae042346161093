"""The table of signals: what each one means and where it comes from. The formulas are in worker.signals.

Every score that is served points the same way: higher = more suspicious. Notation as in the README: `I_ij` is the
TracIn influence of training sample i on reference sample j (arXiv:2002.08484), T checkpoints, classes c, margin
`z_y - max_{c != y} z_c`.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Cost = Literal["free", "linear", "pairs", "neighbours"]


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
    trusted_reference: bool = Field(False, description="Computed only when the job has a trusted reference.")
    headline: bool = Field(False, description="One of the two answers; its scores are in [0, 1].")


_KDD = "Data Glitches Discovery using Influence-based Model Explanations, KDD 2025"
_PAPER = "arXiv:2506.11584"

_TABLE = (
    Signal(
        name="mislabeled",
        title="Mislabeled",
        high="the label is probably wrong",
        formula="mean of rank(aum_early), rank(loss), rank(knn_vote)",
        source="Usual Suspects",
        cost="neighbours",
        headline=True,
    ),
    Signal(
        name="anomalous",
        title="Anomalous",
        high="unlike what the reference knows, whatever its label",
        formula="mean of rank(support_same), rank(support_all); without a trusted reference rank(support_self)",
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
        name="aum",
        title="Area under the margin, negated",
        high="another class scored higher all through training",
        formula="-mean_t margin_i^t",
        source="arXiv:2001.10528",
        cost="free",
    ),
    Signal(
        name="aum_early",
        title="Early area under the margin, negated",
        high="another class scored higher before the sample was memorised",
        formula="-mean_{t <= max(2, T/3)} margin_i^t",
        source="Usual Suspects",
        cost="free",
    ),
    Signal(
        name="el2n",
        title="Error norm",
        high="far from its label all through training",
        formula="mean_t |softmax(z_i^t) - e_y|",
        source="arXiv:2107.07075",
        cost="free",
    ),
    Signal(
        name="loss",
        title="Mean loss",
        high="cost much all through training",
        formula="mean_t -log p_y",
        source="Dataset Cartography, arXiv:2009.10795",
        cost="free",
    ),
    Signal(
        name="forgetting",
        title="Forgetting events",
        high="learnt and lost again, or never learnt (T + 1)",
        formula="#{t: right at t, wrong at t+1}",
        source="arXiv:1812.05159",
        cost="free",
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
        name="support_self",
        title="Missing support inside its label",
        high="unlike the nearer half of its own label",
        formula="mean_t rank(1 - mean of the k largest cos(b_i, b_j), y_j = y_i, j != i), k = half of the label",
        source="Usual Suspects",
        cost="neighbours",
    ),
)

SIGNALS: dict[str, Signal] = {signal.name: signal for signal in _TABLE}
HEADLINES = tuple(name for name, signal in SIGNALS.items() if signal.headline)
