"""What a client may say of a webhook."""

from typing import Any

import pytest

from service.domain.webhook import WebhookRequest, without_query

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("url", "ftp://example.org/"),
        ("url", "example.org/hook"),
        ("url", "https://"),
        ("url", "https://user:word@example.org/"),
        ("url", "https://example.org:99999/"),
        ("url", "https://example.org/a b"),
        ("url", "https://example.org/\x00"),
        ("url", "https://exämple.org/"),
        ("url", "https://example.org/" + "a" * 2048),
        ("secret", ""),
        ("secret", "hunter2hunter2hunter2hunter2hunter2"),
        ("secret", "whsec_c2hvcnQ="),
        ("secret", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLa!!"),
        ("secret", "whsec_" + "A" * 180),
        ("secret", 7),
    ],
)
def test_what_is_no_webhook_is_refused_without_repeating_it(field: str, value: Any) -> None:
    good = {"url": "https://example.org/hook", "secret": SECRET}
    assert WebhookRequest.model_validate(good)
    with pytest.raises(ValueError, match=field) as caught:
        WebhookRequest.model_validate(good | {field: value})
    told = " ".join(fault["msg"] for fault in caught.value.errors())  # type: ignore[attr-defined]
    assert field == "url" or not str(value) or str(value) not in told


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://example.org/hook", "https://example.org/hook"),
        ("https://example.org/hook?token=hush", "https://example.org/hook?…"),
        ("https://example.org/hook#hush", "https://example.org/hook?…"),
        ("https://example.org?hush", "https://example.org?…"),
    ],
)
def test_what_is_shown_of_a_webhook_holds_no_secret(url: str, shown: str) -> None:
    request = WebhookRequest(url=url, secret=SECRET)
    assert (request.shown().model_dump(), without_query(url)) == ({"url": shown}, shown)
    assert SECRET not in repr(request)
    assert "hush" not in repr(request)
