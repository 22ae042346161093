"""Jobs sent to the API, and the messages that it sends to the broker for them."""

import json
from typing import Any

import httpx
import redis

from service.settings import Settings


def messages(settings: Settings, priority: int = 0, queue: str = "cpu") -> list[dict[str, Any]]:
    """What waits in the broker's list of a queue for this API priority."""
    step = 9 - priority
    with redis.Redis.from_url(settings.broker_url) as broker:
        return [json.loads(raw) for raw in broker.lrange(f"{queue}\x06\x16{step}" if step else queue, 0, -1)]


def submit(client: httpx.Client, **body: Any) -> dict[str, Any]:
    """The job that a body makes."""
    response = client.post("/jobs", json=body)
    assert response.status_code == 202, response.text
    found: dict[str, Any] = response.json()
    return found
