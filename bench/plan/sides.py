"""The sides that a run compares, and the processes that each is made of."""

from __future__ import annotations

from dataclasses import dataclass, field

from bench.errors import BenchError


@dataclass(frozen=True, slots=True, kw_only=True)
class Side:
    """One way to do the background work."""

    name: str
    #: Names of processes beside the app: broker, worker, beat.
    parts: tuple[str, ...] = ()
    #: Periodic policies that every run of the drift measures, and those that only a full one does besides.
    policies: tuple[str, ...] = ()
    further_policies: tuple[str, ...] = ()
    #: The broker writes an append-only file, so that what it accepted survives its own death.
    persistent_broker: bool = False
    env: dict[str, str] = field(default_factory=dict)

    @property
    def queued(self) -> bool:
        """Whether a broker and workers do the work."""
        return "worker" in self.parts


QUEUE_PARTS = ("broker", "worker", "beat")

SIDES = {
    side.name: side
    for side in (
        Side(
            name="inprocess",
            policies=("work-then-rearm", "anchored"),
            further_policies=("anchored-spawn", "anchored-catch-up"),
        ),
        Side(
            name="inprocess-journal",
            policies=("anchored",),
            further_policies=("anchored-spawn", "anchored-catch-up", "work-then-rearm"),
        ),
        Side(
            name="celery-stock",
            parts=QUEUE_PARTS,
            policies=("beat",),
            env={"QUEUE_OR_TASK_PROFILE": "stock"},
        ),
        Side(
            name="celery-hardened",
            parts=QUEUE_PARTS,
            policies=("anchored-beat",),
            persistent_broker=True,
            env={"QUEUE_OR_TASK_PROFILE": "hardened"},
        ),
        Side(name="inline"),
    )
}

#: What `--side` accepts beside the names above.
ALIASES = {"celery": ("celery-stock", "celery-hardened")}


def select_sides(names: tuple[str, ...]) -> list[Side]:
    """The sides of these names or aliases in the order of the reports; all of them for none."""
    wanted = {side for name in names for side in ALIASES.get(name, (name,))}
    unknown = sorted(wanted - SIDES.keys())
    if unknown:
        raise BenchError(f"no side is called {unknown[0]!r}: choose from {', '.join([*SIDES, *ALIASES])}")
    return [side for side in SIDES.values() if not wanted or side.name in wanted]
