"""What was compared, in two lines each: the jobs and the sides."""

from __future__ import annotations

from reports.data import formatting
from reports.data.run import Run

_SCENARIOS = {
    "account_setup": "Two jobs register a new user, with the CRM and with the fulfilment service. Each is "
    "retried; none may be lost.",
    "account_sync": "An account's balance is read from a node once a second. What counts is how old the "
    "balance gets.",
    "welcome_email": "One mail to a new user after the user is committed. Nobody waits for it, and a mail "
    "that fails is not sent again.",
}
_SIDES = {
    "inprocess": "Supervised tasks in the web app's own process, on this project's asyncio runtime. Nothing "
    "beside the app, nothing on disk.",
    "inprocess-journal": "Supervised tasks in the app whose jobs are rows of its own database, by this "
    "project's inprocess.journal.",
    "celery-stock": "Celery with its defaults: a broker, a worker and beat beside the app. A message is "
    "acknowledged before its job runs.",
    "celery-hardened": "Celery with this project's celery_impl.sidekiq: leases on jobs, retries and a dead "
    "set in a Redis that keeps all on disk.",
    "celery-app": "Your Celery app with its own settings, its broker and its workers.",
    "inline": "The control: no background work. The request does the work itself, and its client waits "
    "until it is done.",
}

#: A name and what it is.
Description = tuple[str, str]


def scenarios(run: Run) -> tuple[Description, ...]:
    """The jobs that were measured; none for an app of the user's own, whose tasks the user knows."""
    if run.mapping("own_app"):
        return ()
    chosen = run.texts("scenarios") or list(_SCENARIOS)
    return tuple((formatting.title(name), text) for name, text in _SCENARIOS.items() if name in chosen)


def sides(run: Run) -> tuple[Description, ...]:
    """The sides that were measured."""
    chosen = run.texts("sides") or list(_SIDES)
    return tuple((formatting.side(name), text) for name, text in _SIDES.items() if name in chosen)
