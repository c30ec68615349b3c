"""The Celery app one version on: the CRM's task has another name. For `celery -A … worker`."""

from __future__ import annotations

from celery_impl import account_setup, names
from celery_impl.app import app

__all__ = ["app"]

app.finalize()
_task = app.tasks.pop(names.CREATE_CRM_CONTACT)
assert _task is not account_setup.find_fulfillment_center  # noqa: S101 - the other keeps its name
