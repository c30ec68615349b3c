"""The two sides of an app of your own: its tasks in the app's process, and as its own settings run them."""

from __future__ import annotations

from collections.abc import Sequence

from bench.errors import BenchError
from bench.plan.sides import Side

#: The app's own settings, on a broker of ours or on its own.
CELERY_APP = "celery-app"
#: Who runs the entries of the schedule: Celery's beat, on the one side in the app's own process.
BEAT = "beat"

SIDES = {
    side.name: side
    for side in (
        Side(name="inprocess", policies=(BEAT,)),
        Side(name=CELERY_APP, parts=("broker", "worker", "beat"), policies=(BEAT,)),
    )
}
#: What `--side` accepts beside the names above.
ALIASES = {"celery": CELERY_APP}


def select_sides(names: Sequence[str]) -> list[Side]:
    """The sides of these names, both for none; raise BenchError for an unknown one."""
    wanted = {ALIASES.get(name, name) for name in names}
    if unknown := sorted(wanted - SIDES.keys()):
        raise BenchError(f"an app of your own has no side {unknown[0]!r}: choose from {', '.join(SIDES)}")
    return [side for side in SIDES.values() if not wanted or side.name in wanted]
