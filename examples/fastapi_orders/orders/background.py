"""The Celery app and its tasks: `celery -A orders.background worker`."""

from __future__ import annotations

import time
from typing import Any

from celery import Celery

from orders.models import Order

#: Seconds that the mail provider's API takes, and a rendering.
PROVIDER_S, RENDER_S = 0.03, 0.005

celery = Celery("orders", broker="redis://localhost:6379/0", backend="redis://localhost:6379/0")
celery.conf.update(task_acks_late=True, task_reject_on_worker_lost=True, result_expires=600)


@celery.task
def confirm(order: dict[str, Any]) -> str:
    """Mail the confirmation of an order."""
    taken = Order.model_validate(order)
    time.sleep(PROVIDER_S)
    return taken.email


@celery.task(ignore_result=True)
def render_invoice(number: int) -> None:
    """Render the invoice and store it."""
    if number <= 0:
        raise ValueError(f"no order has the number {number}")
    time.sleep(RENDER_S)
