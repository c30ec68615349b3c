"""What the shop does in the background."""

from __future__ import annotations

import time
from typing import Any

from celery import Task

from bench.hooks import effect
from shop.celery import app

#: Seconds that the mail server takes to accept a message, and the stock service to answer.
MAIL_S, STOCK_S = 0.02, 0.01


class StockError(Exception):
    """The stock service did not answer."""


@app.task(max_retries=3)
def send_receipt(order_id: int, *, language: str = "en") -> None:
    """Mail the receipt of an order."""
    time.sleep(MAIL_S)
    effect("receipt", f"{order_id}/{language}")


@app.task(bind=True, autoretry_for=(StockError,), retry_backoff=1, max_retries=5)
def reserve_stock(self: Task[Any, Any], order_id: int, skus: list[str]) -> int:
    """Reserve every article of an order; the first try of each tenth order fails."""
    time.sleep(STOCK_S)
    if order_id % 10 == 0 and self.request.retries == 0:
        raise StockError(f"no answer for order {order_id}")
    return len(skus)


@app.task
def sweep_carts() -> int:
    """Forget carts that nobody came back to."""
    return 0


@app.task
def report(day: str) -> str:
    """Add up a day's sales."""
    return f"report of {day}"
