from __future__ import annotations

import signal
import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from bench.app import builds
from bench.process.asgi_server import listening_socket, port_of
from bench.world import replies

USER = {"id": "u-1", "name": "Ann", "email": "ann@x.example", "birthday": "1990-05-17", "address": "1 Mill"}


class Client:
    """An app under test and its lab."""

    def __init__(self, lab: Any, side: str) -> None:
        self.lab = lab
        lab.start_world("--latency-ms", "1")
        self.process, self.url = lab.start_app(side)

    def __call__(self, method: str, path: str, **options: Any) -> httpx.Response:
        return httpx.request(method, self.url + path, trust_env=False, timeout=10, **options)

    def names(self, **fields: Any) -> list[str]:
        return [event["event"] for event in self.lab.events(**fields)]


@pytest.fixture(params=["inprocess", "inline"])
def app(lab: Any, request: pytest.FixtureRequest) -> Client:
    return Client(lab, request.param)


@pytest.fixture
def inline(lab: Any) -> Client:
    return Client(lab, "inline")


@pytest.fixture(scope="module")
def standing(tmp_path_factory: pytest.TempPathFactory, open_lab: Any) -> Iterator[Client]:
    """An app that stands for the whole module, for tests that leave nothing in it."""
    with open_lab(tmp_path_factory.mktemp("standing")) as lab:
        yield Client(lab, "inline")


def test_an_account_is_set_up_and_every_step_is_in_the_ledger(app: Client) -> None:
    answer = app("POST", "/account-setup", json=USER)
    assert (answer.status_code, answer.json()) == (202, {"id": "u-1"})
    for job in ("u-1/crm", "u-1/fulfillment"):
        app.lab.eventually(lambda job=job: "done" in app.names(job=job))
        assert sorted(app.names(job=job)) == ["accepted", "done", "effect", "start", "submit"]
    submits = {event["t"] for event in app.lab.events("submit")}
    accepts = {event["t"] for event in app.lab.events("accepted")}
    assert len(submits) == len(accepts) == 1, "both jobs of one hand-over have the same times"
    with sqlite3.connect(app.lab.folder / "scenarios.db") as database:
        row = database.execute("select crm_id, fulfillment_center_id from users").fetchone()
    database.close()
    assert row == (replies.contact_id("u-1"), replies.nearest_center("1 Mill"))


def test_a_user_is_created_and_its_mail_goes_out(app: Client) -> None:
    assert app("POST", "/users", json=USER).status_code == 201
    app.lab.eventually(lambda: "effect" in app.names(job="u-1/email"))
    assert app("POST", "/users", json=USER).status_code == 422
    assert app.names(job="u-1/email").count("submit") == 1, "a user that is taken hands nothing over"


def test_the_caller_cost_of_a_mail_is_the_hand_over_without_the_insert_of_its_user(app: Client) -> None:
    """Another writer holds the database for half a second: the request waits, the hand-over does not."""
    held_s = 0.5
    database = sqlite3.connect(app.lab.folder / "scenarios.db", isolation_level=None, check_same_thread=False)
    database.execute("begin immediate")
    free = threading.Timer(held_s, lambda: database.execute("rollback"))
    free.start()
    began = time.monotonic()
    assert app("POST", "/users", json=USER).status_code == 201
    assert time.monotonic() - began > held_s
    free.join()
    database.close()
    [submit], [accepted] = app.lab.events("submit"), app.lab.events("accepted")
    assert accepted["t"] - submit["t"] < held_s * 1e9 / 2


@pytest.mark.parametrize(
    ("path", "content", "field"),
    [
        ("/users", b"{", "params"),
        ("/users", b"[]", "params"),
        ("/users", b"{}", "name"),
        ("/account-setup", b"{", "params"),
        ("/account-setup", b"[]", "params"),
        ("/account-setup", b'{"birthday": "soon"}', "birthday"),
    ],
)
def test_bad_parameters_come_back_with_their_fields(
    standing: Client, path: str, content: bytes, field: str
) -> None:
    answer = standing("POST", path, content=content)
    assert answer.status_code == 422
    assert field in answer.json()["errors"]


def test_an_owner_is_started_read_and_stopped(app: Client) -> None:
    assert app("GET", "/sync/o-1").status_code == 404
    assert app("PUT", "/sync/o-1").status_code == 204
    state = app.lab.eventually(
        lambda: (s := app("GET", "/sync/o-1").json()).get("last_run_at") is not None and s
    )
    assert state["owner"] == "o-1"
    assert state["active"] is True
    assert app("DELETE", "/sync/o-1").status_code == 204
    app.lab.eventually(lambda: app("GET", "/sync/o-1").json()["active"] is False)


def test_work_that_is_not_done_is_told_as_held_until_it_is(lab: Any) -> None:
    app = Client(lab, "inprocess")
    lab.fault("crm", "hang", times=1)
    app("POST", "/account-setup", json=USER)
    lab.eventually(lambda: lab.control("/services")["crm"]["waiting"])
    assert app("GET", "/held").json().get("u-1/crm") == builds.IN_MEMORY
    lab.eventually(lambda: "effect" in app.names(job="u-1/crm"))
    lab.eventually(lambda: app("GET", "/held").json() == {})


def test_an_error_of_the_build_reaches_the_client_and_the_ledger(inline: Client) -> None:
    inline.lab.fault("crm", "status")
    answer = inline("POST", "/account-setup", json=USER)
    assert answer.status_code == 500
    assert "was not set up" in answer.json()["error"]
    assert "refused" in inline.names(job="u-1/crm")
    assert "effect" in inline.names(job="u-1/fulfillment"), "one failing does not hold the other"


def test_the_lag_of_the_loop_is_taken_once(standing: Client) -> None:
    first = standing.lab.eventually(lambda: standing("GET", "/lag").json())
    second = standing.lab.eventually(lambda: standing("GET", "/lag").json())
    assert first[-1][0] < second[0][0]


def test_sigterm_answers_what_is_under_way_and_drains_the_work(lab: Any) -> None:
    app = Client(lab, "inprocess")
    lab.fault("crm", "slow", seconds=0.5)
    assert app("POST", "/account-setup", json=USER).status_code == 202
    lab.eventually(lambda: "start" in app.names(job="u-1/crm"))
    app.process.signal(signal.SIGTERM)
    assert lab.ended(app.process) == 0
    assert "done" in app.names(job="u-1/crm")


def test_a_port_in_use_ends_the_app_with_one_line_and_code_2(lab: Any) -> None:
    lab.env["QUEUE_OR_TASK_SIDE"] = "inline"
    with listening_socket() as bound:
        process = lab.start("app", "bench.app", "--port", str(port_of(bound)))
        assert lab.ended(process) == 2
        line = f"bench.app: port {port_of(bound)} on 127.0.0.1 cannot be used: Address already in use"
        assert process.tail(50) == line


@pytest.mark.parametrize(
    ("env", "line"),
    [
        (
            {"QUEUE_OR_TASK_SIDE": "outline"},
            "bench.app: QUEUE_OR_TASK_SIDE is 'outline': expected one of",
        ),
        (
            {"QUEUE_OR_TASK_SIDE": "inline", "SMTP_URL": "smtp:"},
            "bench.app: SMTP_URL is 'smtp:': expected",
        ),
        (
            {"QUEUE_OR_TASK_SIDE": "celery-stock", "QUEUE_OR_TASK_PROFILE": "soft"},
            "bench.app: QUEUE_OR_TASK_PROFILE is 'soft': expected",
        ),
    ],
)
def test_a_bad_environment_ends_the_app_with_one_line_and_code_2(
    lab: Any, env: dict[str, str], line: str
) -> None:
    lab.env |= env
    process = lab.start("app", "bench.app")
    assert lab.ended(process) == 2
    assert process.tail(50).startswith(line)
    assert "\n" not in process.tail(50)
