from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenarios import users
from scenarios.users import UserNotFoundError, ValidationError

GOOD = {"name": "Zoë", "email": "zoe@mail.example", "birthday": "1990-05-17", "address": "1 Mill Street"}
FIELDS = ["id", "name", "email", "birthday", "address"]

json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


def errors_of(**change: Any) -> dict[str, list[str]]:
    with pytest.raises(ValidationError) as error:
        users.validate({**GOOD, **change})
    return error.value.errors


@given(st.dictionaries(st.sampled_from(FIELDS) | st.text(), json_values, max_size=8))
def test_any_json_makes_a_user_or_a_validation_error_with_fields(params: dict[str, Any]) -> None:
    errors = _errors(params)
    assert set(errors) <= set(FIELDS)
    assert json.loads(json.dumps(errors)) == errors
    if not errors:
        assert users.validate(params).email == params["email"]


@given(st.dictionaries(st.sampled_from(FIELDS), json_values).map(lambda change: {**GOOD, **change}))
def test_one_bad_field_hides_no_other(params: dict[str, Any]) -> None:
    whole = _errors(params)
    for field in FIELDS:
        alone = _errors({**GOOD, field: params.get(field)})
        assert whole.get(field) == alone.get(field)


def _errors(params: dict[str, Any]) -> dict[str, list[str]]:
    try:
        users.validate(params)
    except ValidationError as error:
        return error.errors or {"": ["a ValidationError names no field"]}
    return {}


@pytest.mark.parametrize(
    ("change", "errors"),
    [
        ({"name": ""}, {"name": ["can't be blank"]}),
        ({"address": None}, {"address": ["can't be blank"]}),
        ({"name": 7}, {"name": ["must be text, not int"]}),
        ({"name": "x" * 201}, {"name": ["must be at most 200 characters"]}),
        ({"email": "nobody"}, {"email": ["is not an e-mail address"]}),
        ({"birthday": "17.5.1990"}, {"birthday": ["must be a date such as 1990-05-17"]}),
        ({"birthday": ""}, {"birthday": ["can't be blank"]}),
        ({"id": "a b"}, {"id": ["must be 1 to 64 letters, digits, dots, dashes or underscores"]}),
    ],
)
def test_a_bad_field_says_what_is_wrong(change: dict[str, Any], errors: dict[str, list[str]]) -> None:
    assert errors_of(**change) == errors


@pytest.mark.parametrize("field", users.MAX_LENGTHS)
def test_the_longest_text_that_a_row_holds_is_taken_and_one_character_more_is_not(field: str) -> None:
    most = users.MAX_LENGTHS[field]
    end = "@mail.example" if field == "email" else ""
    longest = "x" * (most - len(end)) + end
    assert getattr(users.validate({**GOOD, field: longest}), field) == longest
    assert errors_of(**{field: f"x{longest}"}) == {field: [f"must be at most {most} characters"]}


def test_a_birthday_may_not_lie_in_the_future() -> None:
    tomorrow = datetime.now(UTC).date() + timedelta(days=2)
    assert errors_of(birthday=tomorrow.isoformat()) == {"birthday": ["must not lie in the future"]}


def test_an_id_is_made_where_the_client_chooses_none() -> None:
    one, other = users.validate(GOOD), users.validate({**GOOD, "birthday": date(1990, 5, 17)})
    assert one.birthday == other.birthday
    assert one.id != other.id


def test_the_errors_text_names_every_field() -> None:
    with pytest.raises(ValidationError, match="name can't be blank; email is not an e-mail address"):
        users.validate({**GOOD, "name": "", "email": "x"})


def test_a_created_user_is_stored_and_its_two_ids_are_set_apart(store: Path) -> None:
    assert store.exists()
    user = users.create(GOOD)
    assert users.get(user.id) == user
    users.set_crm_id(user.id, "crm-1")
    users.set_fulfillment_center_id(user.id, "fc-1")
    stored = users.get(user.id)
    assert (stored.crm_id, stored.fulfillment_center_id) == ("crm-1", "fc-1")


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("taken", "other"), [("email", {"id": "b"}), ("id", {"email": "b@mail.example"})])
def test_a_taken_field_is_named(taken: str, other: dict[str, str]) -> None:
    users.create({**GOOD, "id": "a"})
    with pytest.raises(ValidationError) as error:
        users.create({**GOOD, "id": "a", **other})
    assert error.value.errors == {taken: ["has already been taken"]}


@pytest.mark.usefixtures("store")
def test_a_user_that_is_not_there_is_an_error_by_name() -> None:
    for call in (users.get, lambda user_id: users.set_crm_id(user_id, "x")):
        with pytest.raises(UserNotFoundError, match="'nobody'"):
            call("nobody")
