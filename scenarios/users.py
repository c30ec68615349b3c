"""Users: validated as a changeset would, stored in one row each."""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

from sqlalchemy import Connection, exc, insert, select, update

from scenarios.database import engine, users

#: Longest name, e-mail address and postal address that a row holds, in characters.
MAX_LENGTHS = {"name": 200, "email": 320, "address": 500}
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_EMAIL = re.compile(r"[^@\s]+@[^@\s]+\.[^@\s]+")


class ValidationError(ValueError):
    """Parameters that make no user. `errors` maps each field to what is wrong with it."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        self.errors = errors
        super().__init__("; ".join(f"{field} {' and '.join(text)}" for field, text in errors.items()))


class UserNotFoundError(LookupError):
    """No user has this id."""


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    """One row of `users`. The two ids are None until the account is set up."""

    id: str
    name: str
    email: str
    birthday: date
    address: str
    crm_id: str | None = None
    fulfillment_center_id: str | None = None


def validate(params: Mapping[str, Any]) -> User:
    """Build the user that `params` describe, or raise ValidationError with every field's errors.

    `id` is optional (a client may choose one); `birthday` is a date or an ISO 8601 string.
    """
    errors: dict[str, list[str]] = {}
    texts = {field: _text(params, field, errors) for field in MAX_LENGTHS}
    if "email" not in errors and not _EMAIL.fullmatch(texts["email"]):
        errors["email"] = ["is not an e-mail address"]
    birthday = _birthday(params.get("birthday"), errors)
    user_id = params.get("id") or uuid.uuid4().hex
    if not isinstance(user_id, str) or not _ID.fullmatch(user_id):
        errors["id"] = ["must be 1 to 64 letters, digits, dots, dashes or underscores"]
    if errors or birthday is None:
        raise ValidationError(errors)
    return User(id=user_id, birthday=birthday, **texts)


def create(params: Mapping[str, Any], also: Callable[[Connection, User], object] | None = None) -> User:
    """Validate, insert and commit a user; raise ValidationError for a bad or taken field.

    `also` is called in the same transaction, after the insert: what it writes is there if the user is.
    """
    user = validate(params)
    values = {column: getattr(user, column) for column in users.columns.keys()}  # noqa: SIM118 - not a dict
    try:
        with engine().begin() as connection:
            connection.execute(insert(users).values(values))
            if also is not None:
                also(connection, user)
    except exc.IntegrityError as error:
        field = "id" if "users.id" in str(error.orig) or "users_pkey" in str(error.orig) else "email"
        raise ValidationError({field: ["has already been taken"]}) from error
    return user


def get(user_id: str) -> User:
    """The user with this id; raise UserNotFoundError where there is none."""
    with engine().connect() as connection:
        row = connection.execute(select(users).where(users.c.id == user_id)).one_or_none()
    if row is None:
        message = f"no user has the id {user_id!r}"
        raise UserNotFoundError(message)
    return User(**row._mapping)  # noqa: SLF001 - SQLAlchemy's documented accessor


def set_crm_id(user_id: str, crm_id: str) -> None:
    """Store the CRM's id of the user; raise UserNotFoundError where there is no such user."""
    _set(user_id, crm_id=crm_id)


def set_fulfillment_center_id(user_id: str, center_id: str) -> None:
    """Store the nearest fulfilment centre; raise UserNotFoundError where there is no such user."""
    _set(user_id, fulfillment_center_id=center_id)


def _set(user_id: str, **values: str) -> None:
    with engine().begin() as connection:
        result = connection.execute(update(users).where(users.c.id == user_id).values(**values))
    if result.rowcount == 0:
        message = f"no user has the id {user_id!r}"
        raise UserNotFoundError(message)


def _text(params: Mapping[str, Any], field: str, errors: dict[str, list[str]]) -> str:
    value = params.get(field)
    if value is None or value == "":
        errors[field] = ["can't be blank"]
    elif not isinstance(value, str):
        errors[field] = [f"must be text, not {type(value).__name__}"]
    elif len(value) > MAX_LENGTHS[field]:
        errors[field] = [f"must be at most {MAX_LENGTHS[field]} characters"]
    else:
        return value
    return ""


def _birthday(value: object, errors: dict[str, list[str]]) -> date | None:
    if value is None or value == "":
        errors["birthday"] = ["can't be blank"]
        return None
    try:
        birthday = value if isinstance(value, date) else date.fromisoformat(str(value))
    except ValueError:
        errors["birthday"] = ["must be a date such as 1990-05-17"]
        return None
    if birthday > date.today():  # noqa: DTZ011 - a birthday has no time zone
        errors["birthday"] = ["must not lie in the future"]
    return birthday
