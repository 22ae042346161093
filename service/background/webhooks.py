"""Delivers webhooks, signed as the Standard Webhooks specification says, until their receivers accept them.

No redirect is followed. The receiver's address is checked (service.outbound.transport).
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus

import httpx
import sqlalchemy as sa
import structlog
from standardwebhooks import Webhook

from service.domain.errors import Conflict, Invalid
from service.outbound.transport import AddressRule, AsyncPinnedTransport
from service.services import Services
from service.store import webhooks
from service.store.webhooks import Delivery, Outgoing

log = structlog.get_logger()

# Pause after each failed attempt: the schedule of the Standard Webhooks specification, 10 attempts in about 3 days.
_PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
_BATCH = 20
_TOTAL_S = 20.0
_LEASE = timedelta(seconds=3 * _TOTAL_S)  # deliveries claimed by a service that died are sent again after this


@dataclass(frozen=True)
class _Attempt:
    """Result of one attempt; `error` is None when the receiver accepted the message."""

    status: int | None = None
    error: str | None = None


def deliver_due(services: Services) -> int:
    """Send the deliveries that are due, at most 20 at once; returns the number of attempts."""
    now = services.now()
    with services.database.read() as connection:
        if not webhooks.any_due(connection, now):
            return 0
    with services.database.write() as connection:
        batch = webhooks.claim(connection, _LEASE, _BATCH, now)
    attempts = asyncio.run(_send_all(services, batch, now))
    with services.database.write() as connection:
        for outgoing, attempt in zip(batch, attempts, strict=True):
            _record(connection, outgoing.delivery, attempt, now)
    return len(batch)


def sign(secret: str, delivery_id: str, now: datetime, body: str) -> dict[str, str]:
    """Headers of a message: id, Unix time in seconds, signature."""
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery_id, now, body),
    }


async def _send_all(services: Services, batch: Sequence[Outgoing], now: datetime) -> list[_Attempt]:
    rule = AddressRule(services.settings.allow_private_webhooks, "SUSPECTS_ALLOW_PRIVATE_WEBHOOKS")
    # trust_env: a netrc file of this machine must not add a password to the request.
    async with httpx.AsyncClient(transport=AsyncPinnedTransport(rule), timeout=_TOTAL_S, trust_env=False) as client:
        return await asyncio.gather(*(_send(services, client, outgoing, now) for outgoing in batch))


async def _send(services: Services, client: httpx.AsyncClient, outgoing: Outgoing, now: datetime) -> _Attempt:
    delivery = outgoing.delivery
    try:
        # All of it together: a receiver that answers a byte at a time holds nobody up.
        async with asyncio.timeout(_TOTAL_S):
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "usual-suspects",
                **sign(services.vault.open(outgoing.sealed), delivery.id, now, delivery.body),
            }
            # Only the status is used, so the body of the answer is not read.
            async with client.stream("POST", delivery.url, content=delivery.body.encode(), headers=headers) as response:
                status = response.status_code
    except Invalid as error:
        return _Attempt(error=error.errors[0].msg)
    except Conflict as error:
        return _Attempt(error=str(error))
    except TimeoutError:
        return _Attempt(error=f"no answer within {_TOTAL_S:.0f} seconds")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _Attempt(error=f"could not be reached: {type(error).__name__}")
    return _attempt(status)


def _attempt(status: int) -> _Attempt:
    if 200 <= status < 300:
        return _Attempt(status)
    if 300 <= status < 400:
        return _Attempt(status, f"answered {status}; redirects are not followed")
    return _Attempt(status, f"answered {status}")


def _record(connection: sa.Connection, delivery: Delivery, attempt: _Attempt, now: datetime) -> None:
    count = delivery.attempts + 1
    if attempt.error is None and attempt.status is not None:
        webhooks.record_delivery(connection, delivery, attempt.status, now)
        log.info("webhook delivered", delivery=delivery.id, job=delivery.job_id, attempts=count)
        return
    dead = attempt.status == HTTPStatus.GONE or count > len(_PAUSES)
    next_at = None if dead else now + _PAUSES[count - 1]
    webhooks.record_failure(connection, delivery, attempt.status, attempt.error or "", next_at, now)
    log.warning(
        "webhook not delivered",
        delivery=delivery.id,
        job=delivery.job_id,
        attempts=count,
        error=attempt.error,
        next_attempt=None if next_at is None else next_at.isoformat(),
    )
