"""The live balance in a real browser: it follows the syncs of either build, and an app that starts again."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Error, Page

from bench.world.broker import Broker, BrokerError
from bench.world.server import free_ports
from tests.chromium import needed

pytest.importorskip("fastapi")

ROOT = Path(__file__).parents[2]
#: Milliseconds that a browser waits for what must happen, on a machine that does other things.
PATIENCE_MS = 60_000
#: The page shows a balance that was fetched after the one that is given.
LATER = "before => document.querySelector('#at').dateTime > before"


class Example:
    """The node and the page's server, and the processes of the build."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self._folder = folder
        self._node_port, self._port = free_ports(2)
        self.env = {
            **os.environ, **environment,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "examples" / "live_balance")]),
            "NODE_URL": f"http://127.0.0.1:{self._node_port}",
            "DATABASE_URL": f"sqlite:///{folder}/balances.db",
        }  # fmt: skip
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}/accounts/ada"

    def start_node(self) -> None:
        self.start("node", "uvicorn", "live_balance.node:node", "--port", str(self._node_port))

    def start_web(self) -> None:
        options = ["--port", str(self._port), "--timeout-graceful-shutdown", "1"]
        self.start("web", "uvicorn", "live_balance.web:web", *options)

    def start(self, name: str, module: str, *words: str) -> None:
        with (self._folder / f"{name}.txt").open("ab") as log:
            self.running[name] = subprocess.Popen(
                [sys.executable, "-m", module, *words], cwd=self._folder, env=self.env, stdout=log, stderr=log
            )

    def stop(self, name: str) -> None:
        process = self.running.pop(name)
        process.terminate()
        process.wait(60)

    def open(self, page: Page) -> None:
        """Open the page as soon as the server answers."""
        end = time.monotonic() + PATIENCE_MS / 1000
        while True:
            try:
                page.goto(self.url)
            except Error:  # the server starts
                if time.monotonic() > end:
                    pytest.fail(f"no page:\n{(self._folder / 'web.txt').read_text()}")
                time.sleep(0.1)
            else:
                return


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with needed() as opened:
        yield opened


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    page = browser.new_page()
    page.set_default_timeout(PATIENCE_MS)
    yield page
    page.close()


def shown_at(page: Page) -> str:
    return str(page.evaluate("document.querySelector('#at').dateTime"))


def follow(page: Page, times: int = 1) -> None:
    """Wait until the page has shown so many further balances, without a reload."""
    for _ in range(times):
        page.wait_for_function(LATER, arg=shown_at(page))


@pytest.mark.timeout(240)
def test_the_page_follows_the_syncs_and_an_app_that_starts_again(tmp_path: Path, page: Page) -> None:
    example = Example(tmp_path)
    try:
        example.start_node()
        example.start_web()
        example.open(page)
        page.get_by_text("Live.").wait_for()
        follow(page, times=2)
        assert page.locator("#balance").inner_text().replace(",", "").replace(".", "").isdigit()

        example.stop("web")
        page.get_by_text("The connection is lost").wait_for()
        example.start_web()
        page.get_by_text("Live.").wait_for()
        follow(page, times=2)
    finally:
        for name in list(example.running):
            example.stop(name)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_the_same_page_follows_celerys_worker(tmp_path: Path, page: Page) -> None:
    try:
        broker = Broker.start(tmp_path / "broker")
    except BrokerError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(error))
    with broker:
        example = Example(tmp_path, LIVE_BALANCE_BUILD="celery", **broker.environment)
        try:
            example.start_node()
            example.start("worker", "celery", "-A", "celery_impl.app", "worker", "-P", "solo")
            example.start("beat", "celery", "-A", "celery_impl.app", "beat")
            example.start_web()
            example.open(page)
            follow(page, times=3)
        finally:
            for name in list(example.running):
                example.stop(name)


def test_without_scripts_a_reload_shows_the_next_balance(tmp_path: Path, browser: Browser) -> None:
    example = Example(tmp_path)
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    try:
        example.start_node()
        example.start_web()
        example.open(page)
        end = time.monotonic() + PATIENCE_MS / 1000
        while page.locator("#balance").inner_text() == "…":
            assert time.monotonic() < end
            time.sleep(0.1)
            page.reload()
        assert page.get_by_text("Reload to see the next one.").is_visible()
    finally:
        context.close()
        for name in list(example.running):
            example.stop(name)
