"""The journalled build one version on: the CRM's task has another name. Its import renames it."""

from __future__ import annotations

from inprocess.journal import durable, task
from inprocess.journalled import account_setup

_old = account_setup.create_contact
del task._tasks[_old.name]  # noqa: SLF001 - a deploy would not have it, and nothing takes a task back
account_setup.create_contact = durable(  # the module reads it at each call
    name="account_setup.create_crm_contact", retry=_old.retry, max_attempts=_old.max_attempts
)(_old.function)
