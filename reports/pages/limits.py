"""What a run does not show."""

from __future__ import annotations

from reports.data import formatting
from reports.data.run import Run

_ONE_HOST = (
    "Another machine, another load, another network: the dependencies here answer over loopback.",
    (
        "Sides with a machine of their own: app, worker, broker, load generator and services share one "
        "processor, so what one of them uses, the others lack."
    ),
)
_SEVERAL_HOSTS = ("Other machines, another load, another network than those between these hosts.",)
_SERVICES = (
    (
        "Work that goes on after its caller has left: a service here cancels a request whose client leaves "
        "before the work is done, and then there is no effect. If a service "
        "finishes such work, a retry does the job a second time."
    ),
)
#: For an app of the user's own, in place of the limits of our services.
_OWN_APP = (
    "Another machine, another load, another network: what your tasks call is wherever they find it.",
    _ONE_HOST[1],
    (
        "An effect that its witness missed: the task itself notes it, or comes to its end. A mail that left "
        "in the instant before a kill was sent all the same."
    ),
    "Subtasks, chains and chords beyond the task that was called.",
)
_ALWAYS = (
    "How often your processes die. Losses are given per strike and per exposed job, never per day.",
    "More than one replica of the app, but where fault 29 started a second; a broker that is replicated.",
    "What people pay to run a broker: being paged for it, upgrading it, and reading its dashboards.",
)


def limits(run: Run) -> tuple[str, ...]:
    """A sentence or two for each limit; those about faults only where faults struck."""
    if app := run.mapping("own_app"):
        left_out = tuple(f"An entry of the schedule: {text}." for text in app.get("left_out") or ())
        return (*_OWN_APP, *_strikes(run), *left_out, *_ALWAYS)
    scaled = () if run.table("failures").empty else (*_strikes(run), *_retries(run))
    where = _SEVERAL_HOSTS if run.mapping("external") else _ONE_HOST
    return (*where, *_SERVICES, *scaled, *_ALWAYS)


def _strikes(run: Run) -> tuple[str, ...]:
    strikes = run.mapping("plan").get("strikes")
    if not isinstance(strikes, int):
        return ()
    times = formatting.plural(strikes, "strike")
    return (f"Rare losses: the profile {run.profile} has {times} of each fault at each side.",)


def _retries(run: Run) -> tuple[str, ...]:
    scale = run.mapping("plan").get("retry_scale")
    if not isinstance(scale, int | float) or scale == 1:
        return ()
    return (
        f"Retries at their real pace: where a note says so, the retry schedule ran at {scale:g} of its time.",
    )
