"""The certificate of an audit as one page of HTML that needs no other file."""

from collections.abc import Sequence
from typing import Any

from service.report import render

_HEADLINES = {
    "accepted": "Accepted: at most {share} of the labels are wrong",
    "refused": "Refused: more than {share} of the labels are wrong",
    "undecided": "Undecided: it is not yet known whether at most {share} of the labels are wrong",
}
_CHIPS = {"accepted": "measured", "refused": "mislabeled", "undecided": "rough"}


def html(certificate: Any, judges: Sequence[Any]) -> str:
    """The page of a certificate as the API gives it, with who judged."""
    share = f"{100 * certificate.share:g} %"
    return render.page(
        "certificate.html.j2",
        certificate=certificate,
        judges=judges,
        share=share,
        level=f"{100 * certificate.level:g} %",
        headline=_HEADLINES[certificate.verdict].format(share=share),
        chip=_CHIPS[certificate.verdict],
    )
