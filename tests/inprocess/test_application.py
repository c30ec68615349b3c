"""How the scenarios' tree behaves at its bounds; the scenarios themselves are tested in tests/contract."""

from __future__ import annotations

import itertools
import json
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from scenarios.ledger import whole_lines

PRELUDE = """
import asyncio, logging
from inprocess import account_setup, account_sync, application, scenario_children, welcome_email, whereis
from scenarios import balances, database, users
from scenarios.contract import RefusedError

logging.basicConfig(format="%(message)s")
database.create_tables()

def params(user_id):
    email = user_id + "@example.org"
    return dict(id=user_id, name="Ada", email=email, birthday="1990-05-17", address="1 Road")

async def until(condition):
    while not condition():
        await asyncio.sleep(0.005)
"""


@pytest.fixture
def nobody_answers() -> str:
    """A port on which nobody listens."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def run_scenario(folder: Path, address: str, program: str) -> subprocess.CompletedProcess[str]:
    ended = subprocess.run(
        [sys.executable, "-c", PRELUDE + textwrap.dedent(program)],
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
        env={
            **os.environ,
            "DATABASE_URL": f"sqlite:///{folder}/app.db",
            "QUEUE_OR_TASK_LEDGER": str(folder),
            "CRM_URL": f"http://{address}",
            "FULFILLMENT_URL": f"http://{address}",
            "NODE_URL": f"http://{address}",
            "SMTP_URL": f"smtp://{address}",
        },
    )
    assert ended.returncode == 0, ended.stderr
    return ended


def events(folder: Path) -> list[dict[str, object]]:
    return [json.loads(line) for path in folder.glob("events-*") for line in whole_lines(path.read_bytes())]


def test_what_is_cut_off_in_back_off_is_reported_by_name_and_noted_as_cancelled(
    tmp_path: Path, nobody_answers: str
) -> None:
    ended = run_scenario(
        tmp_path,
        nobody_answers,
        """
        async def main():
            async with application.lifespan(grace_s=0.0):
                account_setup.set_up_user_account(users.create(params("u1")))
                assert application.pending_jobs() == ["u1/crm", "u1/fulfillment"]
                tasks = whereis(account_setup.SUPERVISOR)
                await until(lambda: {child.state for child in tasks.children()} == {"backing off"})
            assert application.pending_jobs() == []

        asyncio.run(main())
        """,
    )

    cancelled = {event["job"] for event in events(tmp_path) if event["event"] == "cancelled"}
    assert cancelled == {"u1/crm", "u1/fulfillment"}
    assert "2 cut off and lost:" in ended.stderr
    assert "u1/crm: _create_contact(User(id='u1'" in ended.stderr


def test_a_piece_that_fails_for_good_is_given_up_with_a_record_and_leaves_its_sibling(
    tmp_path: Path, nobody_answers: str
) -> None:
    ended = run_scenario(
        tmp_path,
        nobody_answers,
        """
        from inprocess import Backoff, RestartIntensity
        account_setup.BACKOFF = Backoff(initial_s=0.0, max_s=0.0)
        account_setup.INTENSITY = RestartIntensity(2, 60.0)

        async def main():
            async with application.lifespan():
                for user_id in ("u1", "u2", "u3"):
                    account_setup.set_up_user_account(users.create(params(user_id)))
                first = whereis(account_setup.SUPERVISOR)
                await until(lambda: not application.pending_jobs())
                assert whereis(account_setup.SUPERVISOR) is first

        asyncio.run(main())
        """,
    )

    failed = [event for event in events(tmp_path) if event["event"] == "failed"]
    attempts = [event["attempt"] for event in events(tmp_path) if event["event"] == "start"]
    assert len({event["job"] for event in failed}) == len(failed) == 6
    assert {event["where"] for event in failed} == {"log"}
    assert sorted(map(str, attempts)) == ["1"] * 6 + ["2"] * 6 + ["3"] * 6
    assert ended.stderr.count("was given up after 3 attempts") == 6


def test_attempts_at_a_service_wait_their_turn_and_one_that_hangs_times_out(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=64) as silent:  # takes connections, answers nothing
        run_scenario(
            tmp_path,
            f"127.0.0.1:{silent.getsockname()[1]}",
            """
            from inprocess import RestartIntensity
            account_setup.MAX_ATTEMPTS = 2
            account_setup.ATTEMPT_TIMEOUT_S = 0.2
            account_setup.INTENSITY = RestartIntensity(0, 60.0)

            async def main():
                async with application.lifespan():
                    for number in range(5):
                        account_setup.set_up_user_account(users.create(params(f"u{number}")))
                    await until(lambda: not application.pending_jobs())

            asyncio.run(main())
            """,
        )

    written = sorted(events(tmp_path), key=lambda event: int(str(event["t"])))
    for service in ("crm", "fulfillment"):
        own = [str(event["event"]) for event in written if str(event["job"]).endswith(f"/{service}")]
        under_way = itertools.accumulate({"start": 1, "raised": -1}.get(event, 0) for event in own)
        assert own.count("raised") == own.count("failed") == 5
        assert max(under_way) == 2


def test_while_it_drains_work_is_refused_and_a_created_user_stays(
    tmp_path: Path, nobody_answers: str
) -> None:
    ended = run_scenario(
        tmp_path,
        nobody_answers,
        """
        def refused(call, *args):
            try:
                call(*args)
            except RefusedError as error:
                return "takes no new work" in str(error)

        async def main():
            async with application.lifespan() as tree:
                await tree.start_child(ChildSpec("slow", Slow.start))
                leaving.set()
                slow = tree.which_children()[-1][1]
                slow.after_quiet = check

        from inprocess import ChildSpec, GenServer
        leaving = asyncio.Event()

        class Slow(GenServer):
            def quiet(self):
                asyncio.get_running_loop().call_soon(self.after_quiet)

            async def idle(self):
                await done.wait()

            def held(self):
                return () if done.is_set() else (Work(),)

        class Work:
            name, state, attempt = "slow", "running", 1
            def describe(self):
                return "slow"

        done = asyncio.Event()

        def check():
            assert refused(account_setup.set_up_user_account, users.create(params("u1")))
            assert refused(account_sync.start, "owner")
            assert users.get(welcome_email.create_user(params("u2")).id).name == "Ada"
            print("checked")
            done.set()

        asyncio.run(main())
        """,
    )

    assert ended.stdout == "checked\n"
    assert "user u2 is created, but gets no welcome e-mail" in ended.stderr
    assert [event["job"] for event in events(tmp_path) if event["event"] == "failed"] == ["u2/email"]


def test_past_its_bound_both_pieces_are_refused_and_none_is_started(
    tmp_path: Path, nobody_answers: str
) -> None:
    run_scenario(
        tmp_path,
        nobody_answers,
        """
        scenario_children.MAX_CHILDREN = 1
        user = users.create(params("u1"))
        try:
            account_setup.set_up_user_account(user)  # from a thread without a loop
            raise SystemExit("was taken")
        except RefusedError as error:
            assert "max_children" in str(error)
        assert application.pending_jobs() == []
        """,
    )

    assert events(tmp_path) == []


def test_the_row_of_a_sync_follows_its_starts_and_stops_in_order(tmp_path: Path, nobody_answers: str) -> None:
    run_scenario(
        tmp_path,
        nobody_answers,
        """
        async def main():
            async with application.lifespan():
                for _ in range(3):
                    account_sync.start("a")
                    account_sync.stop("a")
                    account_sync.start("b", "work-then-rearm")
                account_sync.stop("nobody")
                account_sync.start("last")
                await until(lambda: balances.active_owners() == ["b", "last"])
                servers = whereis(account_sync.SERVERS)
                assert [owner for owner, _ in servers.which_children()] == ["b", "last"]
                for policy in ("anchored-spawn", "anchored-catch-up"):
                    account_sync.start(policy, policy)
                await until(lambda: len(servers.which_children()) == 4)
                kept = {owner: server.options for owner, server in servers.which_children() if owner != "b"}
                assert (kept["last"].overlap, kept["last"].misfire) == ("skip", "skip")
                assert kept["anchored-spawn"].overlap == "allow"
                assert kept["anchored-catch-up"].misfire == "catch_up"

        try:
            account_sync.start("a", "no such policy")
            raise SystemExit("was taken")
        except ValueError as error:
            known = "anchored, anchored-spawn, anchored-catch-up, work-then-rearm"
            assert f"expected one of {known}" in str(error)
        asyncio.run(main())
        """,
    )


def test_a_failed_mail_is_logged_with_who_asked_and_recorded(tmp_path: Path, nobody_answers: str) -> None:
    ended = run_scenario(
        tmp_path,
        nobody_answers,
        """
        import time
        welcome_email.create_user(params("u1"))
        while application.pending_jobs():
            time.sleep(0.005)
        """,
    )

    assert [(event["event"], event["job"]) for event in events(tmp_path)] == [
        ("start", "u1/email"),
        ("raised", "u1/email"),
        ("failed", "u1/email"),
    ]
    assert "u1/email: _send(" in ended.stderr
    assert "asked for by send_welcome_email at" in ended.stderr
