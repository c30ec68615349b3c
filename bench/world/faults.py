"""What a service of the world does wrong, and to which requests.

| mode   | the service                                                       | effect        |
|--------|-------------------------------------------------------------------|---------------|
| ok     | does its work                                                     | yes           |
| status | answers `status` (HTTP 503, SMTP 451 by default) and does nothing | no            |
| hang   | never answers and does nothing                                    | no            |
| slow   | does its work `seconds` ± `jitter` later                          | yes, at the end |

`times` limits a fault to the first requests of each idempotency key (None: all of them), and
`only` to the keys that a regular expression is found in.
"""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

Service = Literal["crm", "fulfillment", "node", "mail"]
Mode = Literal["ok", "status", "hang", "slow"]

SERVICES: tuple[Service, ...] = get_args(Service)
MODES: tuple[Mode, ...] = get_args(Mode)
#: Seconds that a slow service takes, by default.
DEFAULT_SLOW_S = 2.0


class FaultError(ValueError):
    """A fault that cannot be set; the text says which field and what is expected."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceFault:
    """One fault of one service; see the module's table. Times in seconds."""

    service: Service
    mode: Mode = "ok"
    status: int | None = None
    times: int | None = None
    seconds: float = DEFAULT_SLOW_S
    jitter: float = 0.0
    only: str | None = None

    def __post_init__(self) -> None:
        if self.service not in SERVICES:
            raise FaultError(f"service is {self.service!r}: expected one of {', '.join(SERVICES)}")
        if self.mode not in MODES:
            raise FaultError(f"mode is {self.mode!r}: expected one of {', '.join(MODES)}")
        _whole("status", self.status)
        _whole("times", self.times)
        if self.status is not None and not 400 <= self.status <= 599:  # noqa: PLR2004 - error codes of HTTP and SMTP
            raise FaultError(f"status is {self.status}: expected 400 to 599")
        if self.times is not None and self.times < 1:
            raise FaultError(f"times is {self.times}: expected 1 or more, or null for always")
        _seconds("seconds", self.seconds)
        _seconds("jitter", self.jitter)
        if self.jitter > self.seconds:
            raise FaultError(f"jitter is {self.jitter}: expected at most seconds ({self.seconds})")
        _pattern(self.only)

    @classmethod
    def from_json(cls, value: Any) -> ServiceFault:
        """Build a fault of a JSON object; raise FaultError for one that cannot be used."""
        if not isinstance(value, Mapping):
            raise FaultError("expected a JSON object")
        if unknown := set(value) - {field.name for field in fields(cls)}:
            raise FaultError(f"unknown field {', '.join(sorted(map(str, unknown)))}")
        if "service" not in value:
            raise FaultError(f"service is missing: expected one of {', '.join(SERVICES)}")
        return cls(**value)

    def delay_s(self, key: str) -> float:
        """How long a slow service takes over this key: the same for the same key."""
        draw = random.Random(f"{self.service}/{key}").uniform(-1, 1)  # noqa: S311 - jitter, no secret
        return self.seconds + self.jitter * draw


class ServiceFaults:
    """The present fault of each service, and how often each key has met it."""

    def __init__(self) -> None:
        self._faults: dict[str, ServiceFault] = {name: ServiceFault(service=name) for name in SERVICES}
        self._met: Counter[tuple[str, str]] = Counter()

    def set(self, fault: ServiceFault) -> None:
        """Replace the service's fault; every key starts anew."""
        self._faults[fault.service] = fault
        for met in [met for met in self._met if met[0] == fault.service]:
            del self._met[met]

    def meet(self, service: Service, key: str) -> ServiceFault | None:
        """The fault that this request meets, counted against the key, or None where all is well."""
        fault = self._faults[service]
        if fault.mode == "ok" or (fault.only and not re.search(fault.only, key)):
            return None
        self._met[service, key] += 1
        return fault if fault.times is None or self._met[service, key] <= fault.times else None

    def present(self) -> dict[str, ServiceFault]:
        """The present fault of every service."""
        return dict(self._faults)


def _whole(name: str, value: object) -> None:
    if value is not None and not isinstance(value, int):
        raise FaultError(f"{name} is {value!r}: expected a whole number or null")


def _seconds(name: str, value: object) -> None:
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):
        raise FaultError(f"{name} is {value!r}: expected a number of seconds, 0 or more")


def _pattern(only: str | None) -> None:
    try:
        re.compile(only or "")
    except (re.error, TypeError) as error:
        raise FaultError(f"only is {only!r}: not a regular expression ({error})") from error
