"""The two sides of the user's app: its tasks in the app's process, and its own Celery settings."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import BenchError
from bench.plan.sides import Side

#: The app's own settings, on the run's broker or on the app's.
CELERY_APP = "celery-app"
#: The scheduler of both sides: Celery's beat; in-process it runs inside the app.
BEAT = "beat"

SIDES = {
    side.name: side
    for side in (
        Side(name="inprocess", policies=(BEAT,)),
        Side(name=CELERY_APP, parts=("broker", "worker", "beat"), policies=(BEAT,)),
    )
}
#: Other names that `--side` accepts.
ALIASES = {"celery": CELERY_APP}


def select_sides(names: Sequence[str]) -> list[Side]:
    """The sides with these names; without names, both. Raise BenchError for an unknown one."""
    wanted = {ALIASES.get(name, name) for name in names}
    if unknown := sorted(wanted - SIDES.keys()):
        raise BenchError(f"an app of your own has no side {unknown[0]!r}: choose from {', '.join(SIDES)}")
    return [side for side in SIDES.values() if not wanted or side.name in wanted]
