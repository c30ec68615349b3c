from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.world import replies
from bench.world.faults import SERVICES, FaultError, ServiceFault, ServiceFaults


def test_a_service_without_a_fault_meets_none() -> None:
    assert ServiceFaults().meet("crm", "user-1") is None


def test_a_fault_with_times_hits_each_key_that_often_and_no_other_service() -> None:
    faults = ServiceFaults()
    faults.set(ServiceFault(service="crm", mode="status", times=2))
    hits = [faults.meet("crm", key) is not None for key in ("a", "a", "b", "a", "b", "b")]
    assert hits == [True, True, True, False, True, False]
    assert faults.meet("node", "a") is None


def test_setting_a_fault_anew_forgets_which_keys_met_the_old_one() -> None:
    faults = ServiceFaults()
    fault = ServiceFault(service="crm", mode="status", times=1)
    faults.set(fault)
    faults.meet("crm", "a")
    faults.set(fault)
    assert faults.meet("crm", "a") == fault


def test_only_limits_a_fault_to_the_keys_that_it_is_found_in() -> None:
    faults = ServiceFaults()
    faults.set(ServiceFault(service="mail", mode="hang", only="-7$"))
    assert faults.meet("mail", "user-7") is not None
    assert faults.meet("mail", "user-70") is None


@given(
    seconds=st.floats(0, 100),
    share=st.floats(0, 1),
    key=st.text(),
)
def test_a_slow_service_takes_its_seconds_give_or_take_the_jitter(
    seconds: float, share: float, key: str
) -> None:
    fault = ServiceFault(service="node", mode="slow", seconds=seconds, jitter=seconds * share)
    delay = fault.delay_s(key)
    assert abs(delay - seconds) <= fault.jitter + 1e-9
    assert delay == fault.delay_s(key)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([], "JSON object"),
        ({}, "service is missing"),
        ({"service": "bank"}, "expected one of crm, fulfillment, node, mail"),
        ({"service": "crm", "mode": "broken"}, "expected one of ok, status, hang, slow"),
        ({"service": "crm", "status": 200}, "expected 400 to 599"),
        ({"service": "crm", "times": 0}, "expected 1 or more"),
        ({"service": "crm", "times": "two"}, "expected a whole number"),
        ({"service": "crm", "seconds": "2"}, "expected a number of seconds"),
        ({"service": "crm", "seconds": 1, "jitter": 2}, "expected at most seconds"),
        ({"service": "crm", "only": "("}, "not a regular expression"),
        ({"service": "crm", "colour": "red"}, "unknown field colour"),
    ],
)
def test_a_fault_that_cannot_be_set_says_which_field_and_what_is_expected(value: Any, text: str) -> None:
    with pytest.raises(FaultError, match=text.replace("(", r"\(")):
        ServiceFault.from_json(value)


@given(
    st.dictionaries(
        st.sampled_from(["service", "mode", "status", "times", "seconds", "jitter", "only"]),
        st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(SERVICES),
    )
)
def test_any_json_makes_a_fault_or_a_fault_error(value: dict[str, Any]) -> None:
    try:
        fault = ServiceFault.from_json(value)
    except FaultError:
        return
    assert fault.service in SERVICES
    assert fault.delay_s("key") >= -1e-9


def test_the_same_question_gets_the_same_answer_and_addresses_spread_over_the_centres() -> None:
    addresses = [f"{number} Mill Street" for number in range(300)]
    found = [replies.nearest_center(address) for address in addresses]
    assert found == [replies.nearest_center(address) for address in addresses]
    assert len(set(found)) > len(replies.CENTERS) / 2
    assert replies.contact_id("a") != replies.contact_id("b")


def test_a_balance_grows_with_time() -> None:
    assert replies.balance("o", replies.BALANCE_STEP_NS) == replies.balance("o", 0) + 1
