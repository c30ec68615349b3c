"""Which scenario and job of the ledger a Celery task is, told from its name and arguments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from scenarios import jobs

CREATE_CRM_CONTACT: Final = "account_setup.create_crm_contact"
FIND_FULFILLMENT_CENTER: Final = "account_setup.find_fulfillment_center"
SYNC_ALL: Final = "account_sync.sync_all"
SYNC_OWNER: Final = "account_sync.sync_owner"
SEND_WELCOME: Final = "welcome_email.send_welcome"

_JOBS: Final[dict[str, tuple[str, Callable[[str], str]]]] = {
    CREATE_CRM_CONTACT: (jobs.ACCOUNT_SETUP, jobs.crm),
    FIND_FULFILLMENT_CENTER: (jobs.ACCOUNT_SETUP, jobs.fulfillment),
    SYNC_OWNER: (jobs.ACCOUNT_SYNC, jobs.sync),
    SEND_WELCOME: (jobs.WELCOME_EMAIL, jobs.email),
}


class Job(NamedTuple):
    """A job as the ledger knows it."""

    scenario: str
    name: str


def job_of(task: str, args: Sequence[object] | None) -> Job | None:
    """Return the job that the task with these arguments is, or None where it is none of the ledger's."""
    known = _JOBS.get(task)
    if known is None or not args:
        return None
    scenario, name = known
    return Job(scenario, name(str(args[0])))
