"""Sends what the ledger has to tell: webhooks, signed after Standard Webhooks, until their receivers take them.

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
from service.outbound.secrets import Vault
from service.outbound.transport import AddressRule, AsyncPinnedTransport
from service.settings import Settings
from service.store import webhooks
from service.store.engine import Database
from service.store.webhooks import Delivery, Outgoing

log = structlog.get_logger()

# After each attempt that failed; the schedule of the Standard Webhooks specification, 10 attempts in about 3 days.
_PAUSES = (
    timedelta(seconds=5),
    timedelta(minutes=5),
    timedelta(minutes=30),
    *(timedelta(hours=hours) for hours in (2, 5, 10, 14, 20, 24)),
)
_BATCH = 20
_TOTAL_S = 20.0
_LEASE = timedelta(seconds=3 * _TOTAL_S)  # a courier that died holds its messages up no longer


@dataclass(frozen=True)
class _Answer:
    """What came of one attempt; no error when the receiver took it."""

    status: int | None = None
    error: str | None = None


def deliver(database: Database, vault: Vault, settings: Settings, now: datetime) -> int:
    """Send what is due, at most twenty messages at once; gives how many were tried."""
    with database.read() as connection:
        if not webhooks.any_due(connection, now):
            return 0
    with database.write() as connection:
        batch = webhooks.claim(connection, _LEASE, _BATCH, now)
    answers = asyncio.run(_send_all(batch, vault, settings, now))
    with database.write() as connection:
        for outgoing, answer in zip(batch, answers, strict=True):
            _note(connection, outgoing.delivery, answer, now)
    return len(batch)


def sign(secret: str, delivery_id: str, now: datetime, body: str) -> dict[str, str]:
    """The headers of a message: its id, the time and the signature."""
    return {
        "webhook-id": delivery_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign(delivery_id, now, body),
    }


async def _send_all(batch: Sequence[Outgoing], vault: Vault, settings: Settings, now: datetime) -> list[_Answer]:
    transport = AsyncPinnedTransport(AddressRule(settings.allow_private_webhooks, "SUSPECTS_ALLOW_PRIVATE_WEBHOOKS"))
    # trust_env: a netrc file of this machine must not add a password to the request.
    async with httpx.AsyncClient(transport=transport, timeout=_TOTAL_S, trust_env=False) as client:
        return await asyncio.gather(*(_send(client, outgoing, vault, now) for outgoing in batch))


async def _send(client: httpx.AsyncClient, outgoing: Outgoing, vault: Vault, now: datetime) -> _Answer:
    delivery = outgoing.delivery
    try:
        # All of it together: a receiver that answers a byte at a time holds nobody up.
        async with asyncio.timeout(_TOTAL_S):
            headers = {
                "Content-Type": "application/json",
                "User-Agent": "usual-suspects",
                **sign(vault.open(outgoing.sealed), delivery.id, now, delivery.body),
            }
            # Only the status is used, so the body of the answer is not read.
            async with client.stream("POST", delivery.url, content=delivery.body.encode(), headers=headers) as response:
                status = response.status_code
    except Invalid as error:
        return _Answer(error=error.errors[0].msg)
    except Conflict as error:
        return _Answer(error=str(error))
    except TimeoutError:
        return _Answer(error=f"no answer within {_TOTAL_S:.0f} seconds")
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        return _Answer(error=f"could not be reached: {type(error).__name__}")
    return _judged(status)


def _judged(status: int) -> _Answer:
    if 200 <= status < 300:
        return _Answer(status)
    if 300 <= status < 400:
        return _Answer(status, f"answered {status}; redirects are not followed")
    return _Answer(status, f"answered {status}")


def _note(connection: sa.Connection, delivery: Delivery, answer: _Answer, now: datetime) -> None:
    tries = delivery.attempts + 1
    if answer.error is None and answer.status is not None:
        webhooks.delivered(connection, delivery, answer.status, now)
        log.info("webhook delivered", delivery=delivery.id, job=delivery.job_id, attempts=tries)
        return
    over = answer.status == HTTPStatus.GONE or tries > len(_PAUSES)
    again = None if over else now + _PAUSES[tries - 1]
    webhooks.missed(connection, delivery, answer.status, answer.error or "", again, now)
    log.warning(
        "webhook not delivered",
        delivery=delivery.id,
        job=delivery.job_id,
        attempts=tries,
        error=answer.error,
        again=None if again is None else again.isoformat(),
    )
