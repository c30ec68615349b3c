"""Many periodic owners: a schedule each, and nothing to do but to note that a run began and ended.

The node and the database would be what limits a real sync of thousands; the drift blocks have real
ones. Here it is the schedule alone, as each side's users would write it:

- anchored: in-process, one server an owner under a supervisor, as `inprocess.account_sync` has them;
- beat fan-out: one entry of beat, whose task queues one task for each owner, as `celery_impl` has it;
- beat entries: one entry of beat for each owner.

All owners are due at one moment: the worst case, for every side alike. Worker and beat read the fleet from
QUEUE_OR_TASK_OWNERS, as JSON (`OwnerFleet`); the app gets it by POST /owners.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

#: Environment variable with the fleet, for worker and beat.
OWNERS_VARIABLE = "QUEUE_OR_TASK_OWNERS"

Policy = Literal["anchored", "beat fan-out", "beat entries"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnerFleet:
    """So many owners; every one runs, and one in `every` of them notes its runs in the ledger."""

    owners: int
    every: int
    interval_s: float
    policy: Policy

    @property
    def noted(self) -> list[str]:
        """The owners that note their runs."""
        return [owner(number) for number in range(0, self.owners, self.every)]

    def to_json(self) -> str:
        """As text, for the environment."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> OwnerFleet:
        """Read what `to_json` wrote."""
        return cls(**json.loads(text))


def owner(number: int) -> str:
    """What an owner is called."""
    return f"owner-{number:06}"
