"""The answers of the services: each depends on the request alone, so that a test can check it."""

from __future__ import annotations

import hashlib
import math

#: Nanoseconds in which a balance grows by one unit: an old balance can be told from a new one.
BALANCE_STEP_NS = 100_000_000

#: The fulfilment centres and where they stand, in degrees.
CENTERS = {
    "fc-aberdeen": (57.1, -2.1),
    "fc-belfast": (54.6, -5.9),
    "fc-bristol": (51.5, -2.6),
    "fc-cardiff": (51.5, -3.2),
    "fc-dublin": (53.3, -6.3),
    "fc-edinburgh": (56.0, -3.2),
    "fc-leeds": (53.8, -1.5),
    "fc-london": (51.5, -0.1),
    "fc-norwich": (52.6, 1.3),
    "fc-plymouth": (50.4, -4.1),
}


def contact_id(key: str) -> str:
    """The id of the contact that the CRM makes for an idempotency key."""
    return f"crm-{_number(key):016x}"


def nearest_center(address: str) -> str:
    """The centre nearest to where an address is taken to be."""
    place = _place(address)
    return min(CENTERS, key=lambda name: math.dist(CENTERS[name], place))


def balance(owner: str, now_ns: int) -> int:
    """The owner's balance at a moment (monotonic ns): some start of its own, growing by 10 a second."""
    return _number(owner) % 1_000_000 + now_ns // BALANCE_STEP_NS


def _place(address: str) -> tuple[float, float]:
    number = _number(address)
    return 50 + number % 801 / 100, -7 + number // 801 % 901 / 100


def _number(text: str) -> int:
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8])
