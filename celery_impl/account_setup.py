"""Deferred account set-up on Celery: two tasks a user, retried on Sidekiq's schedule when hardened."""

from __future__ import annotations

from typing import Any

from celery import Task

from celery_impl import names
from celery_impl.app import app
from celery_impl.enqueue import enqueue
from scenarios import crm, fulfillment, jobs, ledger, users
from scenarios.users import User


def set_up_user_account(user: User) -> None:
    """Queue both pieces and return; raise RefusedError where the broker does not take them.

    The tasks take the user's id and load the row themselves, so the user must be committed before.
    """
    enqueue(create_crm_contact.s(user.id), find_fulfillment_center.s(user.id))


@app.task(bind=True, name=names.CREATE_CRM_CONTACT, shared=False, ignore_result=True)
def create_crm_contact(self: Task[Any, Any], user_id: str) -> None:
    """Tell the CRM of the user and store the id that it gives."""
    with ledger.attempt(jobs.ACCOUNT_SETUP, jobs.crm(user_id), self.request.retries + 1):
        users.set_crm_id(user_id, crm.create_contact(users.get(user_id)))


@app.task(bind=True, name=names.FIND_FULFILLMENT_CENTER, shared=False, ignore_result=True)
def find_fulfillment_center(self: Task[Any, Any], user_id: str) -> None:
    """Ask for the centre nearest to the user's address and store its id."""
    with ledger.attempt(jobs.ACCOUNT_SETUP, jobs.fulfillment(user_id), self.request.retries + 1):
        users.set_fulfillment_center_id(user_id, fulfillment.nearest_center(users.get(user_id)))
