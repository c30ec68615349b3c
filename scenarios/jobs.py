"""What a job is called in the ledger, the same on every side.

A dependency sees only what it is sent (an idempotency key, a message id, an owner), so a
job's name is made of that and of the service's.
"""

from __future__ import annotations

#: The scenarios, in the order of the article.
ACCOUNT_SETUP = "account_setup"
ACCOUNT_SYNC = "account_sync"
WELCOME_EMAIL = "welcome_email"
SCENARIOS = (ACCOUNT_SETUP, ACCOUNT_SYNC, WELCOME_EMAIL)


def crm(user_id: str) -> str:
    """The job that makes the user's contact in the CRM."""
    return f"{user_id}/crm"


def fulfillment(user_id: str) -> str:
    """The job that finds the user's fulfilment centre."""
    return f"{user_id}/fulfillment"


def email(user_id: str) -> str:
    """The job that sends the user's welcome e-mail."""
    return f"{user_id}/email"


def sync(owner: str) -> str:
    """The periodic sync of one owner; its runs are told apart by their times."""
    return f"{owner}/sync"
