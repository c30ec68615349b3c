"""What a build of the three scenarios must offer: three modules, plain functions.

Every function may be called from any thread and from a coroutine, and none waits for the
background work. Swapping `from inprocess import account_setup` for `from celery_impl import
account_setup` is the whole migration; one test suite runs over both (`tests/contract`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from scenarios.balances import Balance
from scenarios.users import User


class RefusedError(RuntimeError):
    """Background work was not taken: a bound is reached, the side is draining, the broker is away.

    Nothing was started and nothing will run later; the text says why and what to do.
    """


class AccountSetup(Protocol):
    """Deferred work: two pieces, independent of each other, each retried on failure."""

    def set_up_user_account(self, user: User) -> None:
        """Start both pieces and return; `crm_id` and `fulfillment_center_id` appear on the user's row.

        Raise RefusedError where the side takes no work.
        """


class AccountSync(Protocol):
    """Periodic work: every second fetch the balance of an owner and store it."""

    def start(self, owner: str) -> None:
        """Sync the owner every second from now on; starting it twice is the same as once."""

    def stop(self, owner: str) -> None:
        """Sync the owner no longer; stopping one that is not started is no error."""

    def state(self, owner: str) -> Balance | None:
        """The last stored balance with `last_run_at`, or None where the owner was never started.

        A build may deal with `start` and `stop` in the background: the row follows soon, not at once.
        """


class WelcomeEmail(Protocol):
    """Fire and forget: an e-mail that nobody waits for and nobody retries."""

    def create_user(self, params: Mapping[str, Any]) -> User:
        """Validate, insert, commit, then send the e-mail in the background; return the user.

        Raise ValidationError with the fields' errors. The user stays created where the e-mail
        cannot be sent or handed over: it is nonessential work.
        """

    def send_welcome_email(self, user: User) -> None:
        """Send the e-mail to a committed user in the background: the last step of `create_user`.

        A hand-over that fails is logged; it raises nothing.
        """
