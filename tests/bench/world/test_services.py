from __future__ import annotations

import signal
import smtplib
import socket
import subprocess
import sys
import time
from email.message import EmailMessage
from typing import Any
from urllib.parse import urlsplit

import httpx
import psutil
import pytest

from bench.world import replies


@pytest.fixture
def world(lab: Any) -> Any:
    lab.start_world("--latency-ms", "1")
    return lab


def contact(world: Any, key: str, *, timeout: float = 10, **body: Any) -> httpx.Response:
    headers = {"Idempotency-Key": key} if key else {}
    body = {"name": "Ann", "birthday": "1990-05-17", **body}
    url = f"{world.world['crm_url']}/contacts"
    return httpx.post(url, json=body, headers=headers, timeout=timeout, trust_env=False)


def send(world: Any, user_id: str) -> None:
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = "a@example.org", "zoë@example.org", "Ænd"
    message["Message-ID"] = f"<{user_id}@example.org>"
    message.set_content("Hello\n")
    parts = urlsplit(world.world["smtp_url"])
    with smtplib.SMTP(
        parts.hostname or "", parts.port or 0, local_hostname="localhost", timeout=10
    ) as server:
        server.send_message(message)


def test_the_crm_makes_a_contact_and_writes_the_effect_before_it_answers(world: Any) -> None:
    answer = contact(world, "u-1")
    assert (answer.status_code, answer.json()) == (201, {"id": replies.contact_id("u-1")})
    [effect] = world.events("effect")
    assert (effect["scenario"], effect["job"], effect["run"]) == ("account_setup", "u-1/crm", "test")


@pytest.mark.parametrize(
    ("key", "body", "text"),
    [
        ("u", {"name": ""}, "name can't be blank"),
        ("u", {"birthday": None}, "birthday must be a date"),
        ("u", {"birthday": "tomorrow"}, "birthday must be a date"),
        ("", {}, "Idempotency-Key header is missing"),
    ],
)
def test_the_crm_refuses_what_is_no_contact_and_leaves_no_effect(
    world: Any, key: str, body: dict[str, Any], text: str
) -> None:
    answer = contact(world, key, **body)
    assert answer.status_code == 422
    assert text in answer.json()["error"]
    assert world.events("effect") == []


def test_the_other_services_answer_and_write_their_effects(world: Any) -> None:
    headers = {"Idempotency-Key": "u-2"}
    nearest = f"{world.world['fulfillment_url']}/nearest"
    answer = httpx.get(nearest, params={"address": "1 Mill St"}, headers=headers, trust_env=False)
    assert answer.json() == {"id": replies.nearest_center("1 Mill St")}
    balance = httpx.get(f"{world.world['node_url']}/balances/owner%2F1", trust_env=False).json()
    assert balance["owner"] == "owner/1"
    assert isinstance(balance["balance"], int)
    assert [e["job"] for e in world.events("effect")] == ["u-2/fulfillment", "owner/1/sync"]


def test_the_mail_server_keeps_what_it_took_and_names_the_job_by_the_message_id(world: Any) -> None:
    send(world, "u-3")
    [message] = world.control("/mails/u-3")
    assert (message["to"], message["subject"]) == ("zoë@example.org", "Ænd")
    assert message["body"].split() == ["Hello"]
    assert [e["job"] for e in world.events("effect", scenario="welcome_email")] == ["u-3/email"]


def test_a_503_is_answered_as_often_as_told_and_has_no_effect(world: Any) -> None:
    world.fault("crm", "status", times=2)
    assert [contact(world, "u").status_code for _ in range(3)] == [503, 503, 201]
    assert len(world.events("effect")) == 1


def test_a_mail_server_that_fails_asks_to_try_again_later(world: Any) -> None:
    world.fault("mail", "status")
    with pytest.raises(smtplib.SMTPDataError) as error:
        send(world, "u")
    assert error.value.smtp_code == 451
    assert world.events("effect") == []


def test_a_hanging_service_counts_who_waits_until_the_client_goes(world: Any) -> None:
    world.fault("crm", "hang")
    with pytest.raises(httpx.ReadTimeout):
        contact(world, "u", timeout=0.3)
    services = world.eventually(lambda: (s := world.control("/services"))["crm"]["waiting"] == 0 and s)
    assert services["crm"] == {"mode": "hang", "requests": 1, "waiting": 0}
    assert world.events("effect") == []


def test_a_slow_service_does_its_work_at_the_end_unless_its_client_has_gone(world: Any) -> None:
    parts = urlsplit(world.world["crm_url"])
    for number, seconds in enumerate((0.3, 3.0, 10.0)):  # a busy machine may be late to let the client go
        world.fault("crm", "slow", seconds=seconds)
        sent = time.monotonic()
        with socket.create_connection((parts.hostname, parts.port)) as client:
            head = (
                f"POST /contacts HTTP/1.1\r\nHost: x\r\nIdempotency-Key: gone{number}\r\nContent-Length: 43"
            )
            client.sendall(f'{head}\r\n\r\n{{"name": "Ann",   "birthday": "1990-05-17"}}'.encode())
            world.eventually(lambda: world.control("/services")["crm"]["requests"] > number)  # noqa: B023 - now
        if time.monotonic() - sent < seconds:
            break
    assert contact(world, f"stays{number}").status_code == 201
    done = [event["job"] for event in world.events("effect")]
    assert f"stays{number}/crm" in done
    assert f"gone{number}/crm" not in done


def test_a_fault_that_cannot_be_set_is_answered_with_the_reason(world: Any) -> None:
    answer = httpx.post(f"{world.world['control_url']}/faults", json={"service": "bank"}, trust_env=False)
    assert answer.status_code == 422
    assert "expected one of" in answer.json()["error"]
    answer = httpx.post(f"{world.world['control_url']}/faults", content="{", trust_env=False)
    assert answer.status_code == 422


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_world_ends_when_asked_even_while_a_request_hangs(lab: Any, number: signal.Signals) -> None:
    process = lab.start_world()
    lab.fault("crm", "hang")
    with pytest.raises(httpx.ReadTimeout):
        contact(lab, "u", timeout=0.2)
    process.signal(number)
    assert lab.ended(process) == 0


def test_the_world_ends_when_its_parent_was_killed(lab: Any) -> None:
    script = "import subprocess, sys; subprocess.Popen([sys.executable, *sys.argv[1:]]).wait()"
    command = ["-m", "bench.world.serve", "--folder", str(lab.folder)]
    parent = subprocess.Popen([sys.executable, "-c", script, *command], env=lab.env)
    lab.eventually((lab.folder / "world.json").exists)
    [child] = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    lab.eventually(lambda: not child.is_running())
