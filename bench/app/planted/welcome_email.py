"""The welcome e-mail by a side with known truth."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Any

from bench.app.planted.engine import engine
from scenarios import jobs, mail, users
from scenarios.users import User


def create_user(params: Mapping[str, Any]) -> User:
    """Create the user, accept its e-mail and return."""
    user = users.create(params)
    send_welcome_email(user)
    return user


def send_welcome_email(user: User) -> None:
    """Take the e-mail and return."""
    engine.submit(
        jobs.WELCOME_EMAIL, jobs.email(user.id), partial(asyncio.to_thread, mail.send_welcome, user)
    )
