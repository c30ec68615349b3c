"""What logs show of values: short, and no secrets."""

from __future__ import annotations

from collections import namedtuple
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inprocess.supervision.core import redact as module
from inprocess.supervision.core.redact import HIDDEN, VALUE_CHARACTERS, hide, is_secret, redact, redact_call

SECRET = "s3cr3t-value"  # noqa: S105 - what must not be shown


@dataclass
class Account:
    name: str
    password: str
    seen: int = field(default=0, repr=False)


class Login(NamedTuple):
    user: str
    token: str


class Foreign:
    def __repr__(self) -> str:
        return f"Foreign(user='a', api_key='{SECRET}')"


class Broken:
    def __repr__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ({"Password": SECRET, "id": 1}, "{'Password': [hidden], 'id': 1}"),
        ({"x": [{"refresh_token": SECRET}]}, "{'x': [{'refresh_token': [hidden]}]}"),
        (Account("a", SECRET), "Account(name='a', password=[hidden])"),
        (Login("a", SECRET), "Login(user='a', token=[hidden])"),
        (Foreign(), "Foreign(user='a', api_key=[hidden])"),
        (ValueError(f"secret={SECRET} is wrong"), "ValueError('secret=[hidden] is wrong')"),
        (f"postgresql://me:{SECRET}@host/db", "'postgresql://me:[hidden]@host/db'"),
        (f"/path?access_token={SECRET}&page=2", "'/path?access_token=[hidden]&page=2'"),
        (f"Authorization: Bearer {SECRET}", "'Authorization: [hidden]'"),
        (f"it is refused: password={SECRET}", "'it is refused: password=[hidden]'"),
        (f"password={SECRET}".encode(), "b'password=[hidden]'"),
        ({"headers": {"X-Api-Key": SECRET}}, "{'headers': {'X-Api-Key': [hidden]}}"),
    ],
)
def test_a_secret_is_hidden_wherever_its_name_stands_beside_it(value: object, shown: str) -> None:
    assert redact(value) == shown


@given(
    st.recursive(
        st.just(SECRET),
        lambda inner: (
            st.dictionaries(st.sampled_from(["token", "Api-Key", "MY_PASSWORD"]), inner, min_size=1)
            | st.lists(inner.map(lambda value: {"secret": value}), min_size=1)
        ),
        max_leaves=5,
    ).filter(lambda value: value != SECRET)
)
def test_no_nesting_shows_a_secret(value: object) -> None:
    assert SECRET not in redact(value)


@given(st.recursive(st.none() | st.text() | st.binary(), lambda inner: st.lists(inner) | st.tuples(inner)))
def test_a_value_takes_one_line_of_bounded_length(value: object) -> None:
    shown = redact(value)
    assert len(shown) <= VALUE_CHARACTERS
    assert "\n" not in shown


@pytest.mark.parametrize("value", [7, None, True, 1.5, "plain text", [1, 2], (1,), {"a": {1}}, {}])
def test_a_plain_value_is_shown_as_its_repr(value: object) -> None:
    assert redact(value) == repr(value)


def test_a_long_text_shows_its_head() -> None:
    assert redact("x" * 5000) == f"'{'x' * module.TEXT_CHARACTERS}…'"


def test_an_object_whose_repr_fails_is_shown_by_its_type() -> None:
    assert redact([Broken()]) == "[<Broken, whose repr fails>]"


def test_a_record_that_holds_itself_is_shown_to_a_depth() -> None:
    value: dict[str, Any] = {}
    value["self"] = value
    assert len(redact(value)) <= VALUE_CHARACTERS


def test_mappings_and_records_are_followed_four_deep_and_no_deeper() -> None:
    assert redact({1: {2: {3: {4: "shown"}}}}) == "{1: {2: {3: {4: 'shown'}}}}"
    assert redact({1: {2: {3: {4: {5: "left out"}}}}}) == "{1: {2: {3: {4: {…}}}}}"
    record = {1: {2: {3: Account("four", SECRET)}}}
    assert redact(record) == "{1: {2: {3: Account(name='four', password=[hidden])}}}"
    assert redact({0: record}) == "{0: {1: {2: {3: Account(…)}}}}"


def test_a_mapping_shows_its_first_eight_and_says_when_there_are_more() -> None:
    assert redact(dict.fromkeys(range(8))) == repr(dict.fromkeys(range(8)))
    assert redact(dict.fromkeys(range(9))) == f"{repr(dict.fromkeys(range(8)))[:-1]}, …}}"


def test_a_call_hides_arguments_by_the_names_of_their_parameters() -> None:
    def log_in(user: str, password: str) -> None: ...

    assert redact_call(log_in, ("a", SECRET)).endswith("log_in('a', [hidden])")
    assert redact_call(log_in, ("a",), {"password": SECRET}).endswith("log_in('a', password=[hidden])")


def test_a_bound_method_counts_its_parameters_without_self() -> None:
    class Door:
        def unlock(self, token: str, floor: int) -> None: ...

    assert redact_call(Door().unlock, (SECRET, 3)).endswith("Door.unlock([hidden], 3)")


def test_a_call_of_something_without_code_shows_its_arguments() -> None:
    assert redact_call(print, (1, "x")) == "print(1, 'x')"


def test_further_names_can_be_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_fragments", set(module._fragments))
    assert redact({"ssn": 1}) == "{'ssn': 1}"
    hide("SSN")
    assert redact({"ssn": 1, "user_ssn": 2}) == f"{{'ssn': {HIDDEN}, 'user_ssn': {HIDDEN}}}"
    module._is_secret_plain.clear()


def test_a_name_that_is_no_text_is_no_secret() -> None:
    assert not is_secret(7)
    Point = namedtuple("Point", "x y")  # noqa: PYI024 - an untyped one, as in older code
    assert redact(Point(1, 2)) == "Point(x=1, y=2)"
