"""The certificate of an audit as one page of HTML that needs no other file."""

from collections.abc import Sequence
from typing import Any

from service.report import render

_HEADLINES = {
    "accepted": "At most {share} of the labels are wrong",
    "refused": "More than {share} of the labels are wrong",
    "undecided": "Not yet known whether at most {share} of the labels are wrong",
}
_CHIPS = {"accepted": "measured", "refused": "mislabeled", "undecided": "rough"}


def html(certificate: Any, judges: Sequence[Any]) -> str:
    """The page of a certificate as the API gives it, with who judged."""
    share = f"{100 * certificate.share:g}\N{NO-BREAK SPACE}%"
    return render.page(
        "certificate.html.j2",
        certificate=certificate,
        judges=judges,
        share=share,
        level=f"{100 * certificate.level:g} %",
        headline=_HEADLINES[certificate.verdict].format(share=share),
        chip=_CHIPS[certificate.verdict],
    )
