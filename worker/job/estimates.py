"""Estimates as the API shows them: numbers, status, and the reason and cure of what cannot be told."""

from importlib.util import find_spec
from typing import Any

from service.domain.better_model import BACKBONE_PACKAGES, better_model
from service.domain.estimate import TRUSTED_ROWS
from service.domain.models import MODELS
from worker.signals.counts import CountEstimate
from worker.signals.doubts import Doubt

_UNCOUNTED = {
    "none_verified": "Without verified samples the job does not know what normal samples look like, and anomalies cannot be "
    f"counted. Verify at least {TRUSTED_ROWS} samples and rank again.",
    "few_verified": "The verified samples are enough to rank anomalies and too few to count them. Verify at least "
    f"{TRUSTED_ROWS} in all and rank again.",
    "no_features": "Anomalies are not searched for, because the predictions came without features. Upload features, such as "
    "an embedding of each sample, beside the predictions.",
}


def estimate_view(found: CountEstimate, samples: int, model: str) -> dict[str, Any]:
    """The estimate of a job that trained `model`.

    It is never `measured`: verified samples serve as reference, they are not drawn at random from what is counted.
    """
    uncounted = found.doubt is not None and found.doubt.cause == "no_features"
    return {
        "status": "rough" if found.doubt is None else "unknown",
        "count": found.count,
        # Where anomalies are not even ranked, no interval is honest.
        "low": None if uncounted else found.low,
        "high": None if uncounted else found.high,
        "reason": None if found.doubt is None else _reason(found.doubt, samples, model),
    }


def next_model(model: str) -> str | None:
    """A better model than this one that the installation has; None where there is none."""
    missing = frozenset(name for name, package in BACKBONE_PACKAGES.items() if find_spec(package) is None)
    return better_model(model, missing)


def cure_by_model(model: str) -> str:
    """The end of a sentence that offers a better model by name; empty where there is none."""
    better = next_model(model)
    return "" if better is None else f", or try a better model, such as {MODELS[better].title} ({better})"


def _reason(doubt: Doubt, samples: int, model: str) -> str:
    better = cure_by_model(model)
    match doubt.cause:
        case "learnt_little":
            return (
                "The predictions are hardly better than naming the commonest class every time, so that wrong labels cannot be "
                f"told from right ones. Verify at least {TRUSTED_ROWS} samples and rank again{better}."
            )
        case "few_samples":
            return (
                f"{samples:,} samples are too few to count errors: between none and about {doubt.at_most:,} labels may be wrong. "
                "Review the top of the ranking, or add samples."
            )
        case "overlap":
            return (
                f"Between none and about {doubt.at_most:,} labels may be wrong: so many are predicted otherwise, and without verified "
                "samples wrong labels cannot be told from classes that overlap. Verify at least "
                f"{TRUSTED_ROWS} samples and rank again{better}."
            )
        case "wide":
            return (
                f"The verified samples leave open whether none or up to about {doubt.at_most:,} are wrong. Verify more "
                f"samples and rank again{better}."
            )
        case "look_alike":
            return (
                "The predictions are wrong on so many verified samples that labels which are wrong in the same way, because samples look "
                f"like another class, cannot be excluded: between none and about {doubt.at_most:,} labels may be wrong. Review samples that are "
                f"drawn for an audit, which measures the number{better}."
            )
        case "unlike_verified":
            return (
                "The predictions are right more often on the training samples than on the verified ones, so that these do not tell how "
                f"often a right label is contradicted. Between none and about {doubt.at_most:,} labels may be wrong. Verify "
                f"samples of every kind that is in the data and rank again{better}."
            )
        case "all_unlike_verified":
            return (
                "Most training samples differ from the verified ones, not only some that are anomalous: the verified ones are of another "
                "kind, or the model knows the training samples too well. Up to about "
                f"{doubt.at_most:,} may be anomalous. Verify samples that are drawn at random and rank again{better}."
            )
        case "none_verified" | "few_verified" | "no_features":
            return _UNCOUNTED[doubt.cause]
