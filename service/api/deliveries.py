"""Messages to webhooks: list, show, send again."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from service.actions.find import find_delivery
from service.actions.retry import deliver_again
from service.api.http import paging
from service.api.http.authentication import authorize
from service.api.http.errors import problems
from service.api.http.lookup import ServicesDependency
from service.api.schemas.integrations import DeliveryPage, DeliveryView
from service.domain.webhook import without_query
from service.store import webhooks
from service.store.webhooks import PENDING, Delivery, DeliveryState

router = APIRouter(tags=["webhooks"], dependencies=[Depends(authorize)], responses=problems(401, 403, 422, 503))


@router.get("/deliveries", summary="List messages to webhooks, newest first", responses=problems(400, 422))
def list_deliveries(
    request: Request,
    services: ServicesDependency,
    response: Response,
    state: Annotated[DeliveryState | None, Query(description="Only those in this state; dead: given up.")] = None,
    job: Annotated[str | None, Query(description="Only those about this job.")] = None,
    limit: paging.PageLimit = 50,
    cursor: paging.PageCursor = None,
) -> DeliveryPage:
    """A message is written when its job ends, and sent until the receiver answers 2xx: at most 10 times in 3 days.

    An answer 410 ends the attempts at once. Redirects are not followed.
    """
    query = ["deliveries", state, job]
    before = paging.by_time(cursor, query)
    with services.database.read() as connection:
        found, total = webhooks.page(connection, state, job, before, limit + 1)
    items, following = paging.cut(request, response, query, found, limit)
    return DeliveryPage(items=[_view(one) for one in items], next=following, total=total)


@router.get("/deliveries/{delivery_id}", summary="One message to a webhook", responses=problems(404))
def get_delivery(delivery_id: str, services: ServicesDependency) -> DeliveryView:
    """It says how many attempts were made, and what the receiver answered last."""
    return _view(find_delivery(services, delivery_id))


@router.post(
    "/deliveries/{delivery_id}/retry",
    status_code=202,
    summary="Send a message again that was given up",
    responses=problems(404, 409),
)
def retry_delivery(delivery_id: str, services: ServicesDependency) -> DeliveryView:
    """Attempts are counted from 0 again. Id and body stay the same, so that a receiver can recognise a repeat."""
    return _view(deliver_again(services, delivery_id))


def _view(one: Delivery) -> DeliveryView:
    shown = {name: getattr(one, name) for name in DeliveryView.model_fields if name not in ("job", "url", "due_at")}
    due = one.due_at if one.state == PENDING else None
    return DeliveryView.model_validate({**shown, "job": one.job_id, "url": without_query(one.url), "due_at": due})
