"""The confidence of suggestions is a number for people only where it was measured to mean what it says."""

from dataclasses import replace
from typing import Any

import httpx
import pytest

from service.domain.confidence import confidence_of, shown_confidence, told_confidence
from service.platforms.exports import TOOL_FORMATS, ExportContext, ExportedSample
from service.services import Services
from service.terminal.ranking_columns import proposal_columns, suspect_columns
from tests.builders import add_finished, tell_only_the_order

ORDER = [{}, None, {"confidence": "order"}]
ONE = ExportedSample(1, "row-4", 4, 0.75, "cat", "dog", None, "mislabeled", "words", "4.png", (8, 8), {"age": 4.0})


@pytest.mark.parametrize("modality", ["tabular", "embedding", "image", "text", "predictions", "trace"])
def test_it_is_a_probability_only_on_data_on_which_that_was_measured(modality: str) -> None:
    told = {
        by_reviews: confidence_of(modality, calibrated=True, by_reviews=by_reviews) == "probability"
        for by_reviews in (False, True)
    }
    assert told == {False: modality in ("tabular", "embedding"), True: modality == "tabular"}
    assert confidence_of(modality, calibrated=False, by_reviews=False) == "order"


@pytest.mark.parametrize("result", ORDER)
def test_what_is_only_an_order_is_no_number_for_people(result: dict[str, Any] | None) -> None:
    assert told_confidence(result) == "order"
    assert shown_confidence(result, 0.75) is None
    assert shown_confidence({"confidence": "probability"}, 0.75) == 0.75


@pytest.mark.parametrize("name", TOOL_FORMATS)
def test_no_tool_gets_a_number_that_is_only_an_order(name: str) -> None:
    setting = ExportContext("job_1", "image", ("cat", "dog"))
    without, with_number = (
        "".join(TOOL_FORMATS[name].pieces([sample], setting)) for sample in (ONE, replace(ONE, confidence=0.123456))
    )
    assert "confidence" not in without
    assert ("0.123456" in with_number) == (name != "cvat"), with_number
    assert "null" not in without.replace('"metadata": null', "")


def test_a_person_at_the_terminal_sees_no_number_that_is_only_an_order(
    client: httpx.Client, services: Services
) -> None:
    _two_jobs(services)
    sure, unsure = (client.get(f"/jobs/{job}/suspects").json() for job in ("job_1", "job_2"))
    assert (sure["confidence"], unsure["confidence"]) == ("probability", "order")
    item = sure["items"][0]
    cells = {
        one["confidence"]: [str(column.cell(item)) for column in suspect_columns(one, person=True)]
        for one in (sure, unsure)
    }
    number = f"({item['suggested_confidence']:.0%})"
    assert any(number in cell for cell in cells["probability"])
    assert not any("%" in cell for cell in cells["order"])
    # A program gets the value, whatever it is.
    for one in (sure, unsure):
        assert "suggested_confidence" in [column.header for column in suspect_columns(one, person=False)]
    assert [column.header for column in proposal_columns(person=True)] == [
        "sample_id",
        "given_label",
        "suggested_label",
    ]
    assert "suggested_confidence" in [column.header for column in proposal_columns(person=False)]


def test_the_report_shows_no_number_that_is_only_an_order(client: httpx.Client, services: Services) -> None:
    _two_jobs(services)
    sure, unsure = (
        client.get(f"/jobs/{job}/report").text.replace("\N{NO-BREAK SPACE}", " ") for job in ("job_1", "job_2")
    )
    assert "% sure" in sure.replace(" %", "%")
    assert "% sure" not in unsure.replace(" %", "%")


def _two_jobs(services: Services) -> None:
    """One whose confidence is a probability, and one whose confidence is only an order."""
    add_finished(services.database, services.blobs)
    add_finished(services.database, services.blobs, "job_2", "ds_2")
    tell_only_the_order(services.database, "job_2")
