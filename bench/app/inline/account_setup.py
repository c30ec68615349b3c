"""Account set-up in the call: what the request waits for, and fails with, when nothing is deferred."""

from __future__ import annotations

from collections.abc import Callable

from scenarios import crm, fulfillment, jobs, ledger, users
from scenarios.users import User


def set_up_user_account(user: User) -> None:
    """Do both pieces, one after the other and each once; one failing does not hold the other.

    Raise ExceptionGroup with what failed: nothing else reports it.
    """
    pieces = ((jobs.crm(user.id), _create_contact), (jobs.fulfillment(user.id), _set_nearest_center))
    errors = [error for job, piece in pieces if (error := _attempt(job, piece, user)) is not None]
    if errors:
        raise ExceptionGroup(f"the account of {user.id} was not set up", errors)


def _attempt(job: str, piece: Callable[[User], None], user: User) -> Exception | None:
    try:
        with ledger.attempt(jobs.ACCOUNT_SETUP, job):
            piece(user)
    except Exception as error:  # noqa: BLE001 - raised with the other piece's, which must run first
        return error
    return None


def _create_contact(user: User) -> None:
    users.set_crm_id(user.id, crm.create_contact(user))


def _set_nearest_center(user: User) -> None:
    users.set_fulfillment_center_id(user.id, fulfillment.nearest_center(user))
