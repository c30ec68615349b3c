"""What the clinic does in the background."""

from __future__ import annotations

import time

from celery import shared_task
from django.core.mail import send_mail

from bench.hooks import effect

#: Seconds that the laboratory's server takes to answer.
LABORATORY_S = 0.02
SENDER = "desk@clinic.example"


@shared_task
def remind(visit_id: int) -> None:
    """Remind a patient of a visit."""
    send_mail("Your visit", f"Visit {visit_id} is tomorrow.", SENDER, ["patient@mail.example"])
    effect("reminder", visit_id)


@shared_task
def remind_all(day: str) -> str:
    """Remind everybody of a day's visits."""
    return day


@shared_task
def poll_laboratory() -> None:
    """Fetch results that have come in."""
    time.sleep(LABORATORY_S)
