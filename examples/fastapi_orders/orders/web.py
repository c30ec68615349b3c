"""The service: `uvicorn orders.web:web`."""

from __future__ import annotations

from fastapi import FastAPI

from orders.background import confirm, render_invoice
from orders.models import Order

web = FastAPI(title="Orders")


@web.post("/orders", status_code=202)
def take(order: Order) -> dict[str, int]:
    """Take an order; nobody waits for the mail and the invoice."""
    confirm.delay(order.model_dump())
    render_invoice.delay(order.number)
    return {"number": order.number}
