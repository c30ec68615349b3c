"""Parts that are said to be elsewhere and are not there: one line, exit code 2, nothing written."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from bench.cli.commands import main
from bench.ledger import host_label
from bench.plan.deployment import Deployment, DeploymentRequest
from bench.process.asgi_server import listening_socket, url_of
from bench.world.broker import URL_VARIABLE
from bench.world.remote_world import RemoteWorld


def refused(tmp_path: Path, *words: str, env: dict[str, str] | None = None) -> str:
    """The one line that a run with these options is refused with."""
    words = ("run", "--side", "inprocess", "--side", "celery-hardened", *words)
    variables = {URL_VARIABLE: None, "DATABASE_URL": None, **(env or {})}
    done = CliRunner().invoke(main, [*words, "--out", str(tmp_path / "results")], env=variables)
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert not (tmp_path / "results").exists()
    return line


class Page(http.server.BaseHTTPRequestHandler):
    """Answers whatever is asked with its server's `body`."""

    def do_GET(self) -> None:
        body: bytes = self.server.body  # type: ignore[attr-defined] # set by the fixture
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def server() -> Iterator[http.server.HTTPServer]:
    with http.server.HTTPServer(("127.0.0.1", 0), Page) as serving:
        thread = threading.Thread(target=serving.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield serving
        serving.shutdown()
        thread.join()


@pytest.mark.parametrize("body", [b"<html>hello</html>", b"[]", b"{}", b'{"id": "x"}'])
def test_a_server_that_is_no_world_is_named(
    tmp_path: Path, server: http.server.HTTPServer, body: bytes
) -> None:
    server.body = body  # type: ignore[attr-defined] # read by `Page`
    url = f"http://127.0.0.1:{server.server_port}"
    assert f"--world-url {url} is no queue-or-task world" in refused(tmp_path, "--world-url", url)


def test_a_world_of_another_version_is_refused(tmp_path: Path, server: http.server.HTTPServer) -> None:
    server.body = b'{"world": 0}'  # type: ignore[attr-defined] # read by `Page`
    line = refused(tmp_path, "--world-url", f"http://127.0.0.1:{server.server_port}")
    assert "use the same version of queue-or-task on both hosts" in line


def test_a_world_that_another_run_has_is_refused(tmp_path: Path, server: http.server.HTTPServer) -> None:
    server.body = b'{"world": 1, "id": "x", "host": "B", "urls": {}, "run": "r1"}'  # type: ignore[attr-defined] # as above
    line = refused(tmp_path, "--world-url", f"http://127.0.0.1:{server.server_port}")
    assert "serves run r1: wait for its end" in line


def test_a_world_that_tells_half_of_what_it_should_is_refused(
    tmp_path: Path, server: http.server.HTTPServer
) -> None:
    server.body = b'{"world": 1, "id": "x"}'  # type: ignore[attr-defined] # as above
    line = refused(tmp_path, "--world-url", f"http://127.0.0.1:{server.server_port}")
    assert "tells no 'host'" in line


@pytest.mark.parametrize("url", ["nonsense", "http://127.0.0.1:1", "ftp://127.0.0.1"])
def test_an_unreachable_world_is_refused_with_what_starts_one(tmp_path: Path, url: str) -> None:
    line = refused(tmp_path, "--world-url", url)
    assert f"--world-url {url} does not answer as a world" in line
    assert "queue-or-task world --bind ADDRESS --port PORT" in line


def test_a_world_that_takes_connections_and_says_nothing_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.world.remote_world.ANSWER_S", 0.2)
    with listening_socket() as silent:
        assert "does not answer as a world" in refused(tmp_path, "--world-url", url_of(silent))


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (
            ["--broker-url", "redis://127.0.0.1:1/0"],
            "--broker-url is 'redis://127.0.0.1:1/0', which does not",
        ),
        (["--broker-url", "http://127.0.0.1:1"], "its scheme must be one of redis"),
        (["--external-workers"], "external workers need a broker that they reach: add --broker-url"),
        (
            ["--external-workers", "--broker-url", "redis://127.0.0.1:1"],
            "external workers need services that they reach: add --world-url",
        ),
    ],
)
def test_parts_that_are_not_there_or_do_not_go_together_are_refused(
    tmp_path: Path, words: list[str], told: str
) -> None:
    assert told in refused(tmp_path, *words)


def test_a_password_is_not_written_into_the_manifest_nor_told(tmp_path: Path) -> None:
    line = refused(tmp_path, "--broker-url", "redis://:secret@127.0.0.1:1/0")
    assert f"set {URL_VARIABLE} instead" in line
    assert "secret" not in line


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["world", "--bind", "0.0.0.0"], "is no address to be reached at"),  # noqa: S104 - refused
        (["world", "--bind", "192.0.2.1"], "--bind takes an address of this host"),
        (["world", "--bind", "127.0.0.1", "--port", "65535"], "--port the first of five"),
        (["worker", "--side", "inline", "--world-url", "http://x"], "no queue is called 'inline'"),
        (["worker", "--side", "celery-stock", "--world-url", "http://x"], "need a broker"),
        (["worker", "--side", "celery-stock", "--profile", "huge", "--world-url", "x"], "no profile"),
    ],
)
def test_what_the_other_host_cannot_start_is_refused(words: list[str], told: str) -> None:
    done = CliRunner().invoke(main, words, env={URL_VARIABLE: None})
    assert done.exit_code == 2, done.output
    (line,) = done.stderr.splitlines()
    assert told in line


def test_workers_elsewhere_need_the_database_of_the_run() -> None:
    words = ["worker", "--side", "celery-stock", "--world-url", "http://x", "--broker-url", "redis://x"]
    done = CliRunner().invoke(main, words, env={"DATABASE_URL": None})
    assert done.exit_code == 2
    assert "set DATABASE_URL" in done.stderr


def test_a_host_has_the_name_that_it_is_given_or_one_of_its_own() -> None:
    assert host_label.label({host_label.HOST_VARIABLE: "B"}) == "B"
    assert host_label.label({}) == host_label.label({}) != ""


def test_a_run_on_one_host_has_nothing_to_say_of_others() -> None:
    assert Deployment().manifest() == {}
    assert DeploymentRequest().options() == []
    assert Deployment(broker_url="redis://x").manifest()["not told"].startswith("a queue's processor time")


def test_a_world_on_this_host_keeps_nothing_from_being_told() -> None:
    world = RemoteWorld(url="http://x", id="1", host="B", urls={}, run="")
    assert Deployment(host="B", world=world).manifest()["not told"] == "nothing"
    assert "response" in Deployment(host="A", world=world).manifest()["not told"]
