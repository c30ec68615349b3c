"""A node to fetch balances from, each a random walk: `uvicorn live_balance.node:node --port 8083`."""

from __future__ import annotations

import random
from collections import defaultdict

from fastapi import FastAPI

#: A balance at first, and the most by which it changes from one fetch to the next, in the smallest unit.
FIRST, STEP = 1_250_000, 20_000

node = FastAPI(title="A node")
balances: defaultdict[str, int] = defaultdict(lambda: FIRST)


@node.get("/balances/{owner}")
def balance(owner: str) -> dict[str, int]:
    """Return the owner's balance at this moment."""
    balances[owner] += random.randint(-STEP, STEP)  # noqa: S311 - guards nothing
    return {"balance": balances[owner]}
