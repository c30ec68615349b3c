"""The suites of plug-ins: where they come from, and what counts as a failure of ours."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

from bench.celery_suite.outcome import Outcome
from bench.celery_suite.plugins import __main__ as plugins
from bench.celery_suite.plugins.suites import SUITES, Suite
from tests.signals import ended_by

ROOT = Path(__file__).parents[3]

SIX = {
    "celery-batches",
    "celery-once",
    "celery-singleton",
    "django-celery-beat",
    "django-celery-results",
    "opentelemetry-instrumentation-celery",
}


def outcome(passed: int, *failed: str) -> Outcome:
    return Outcome(f"{len(failed)} failed, {passed} passed", passed, frozenset(failed))


def test_the_six_are_named_each_with_a_reason_for_every_exception() -> None:
    assert {suite.name for suite in SUITES} == SIX
    for suite in SUITES:
        assert set(suite.exceptions) <= set(plugins.SIDES[1:])
        assert all(reason for known in suite.exceptions.values() for reason in known.values())


@pytest.mark.parametrize(
    ("sidekiq", "told"),
    [
        (outcome(3), "fine"),
        (outcome(2, "t.py::one"), "fine: sidekiq fails t.py::one: as listed"),
        (outcome(2, "t.py::two"), "not so: sidekiq fails t.py::two: UNEXPLAINED"),
        (outcome(2, "t.py::stock_too"), "fine"),
        (outcome(0), "not so"),
    ],
)
def test_a_case_that_stock_passes_must_pass_or_be_listed(
    monkeypatch: Any, capsys: Any, sidekiq: Outcome, told: str
) -> None:
    by_side = {"stock": outcome(3, "t.py::stock_too"), "in-process": outcome(3), "sidekiq": sidekiq}
    monkeypatch.setattr(plugins, "_source", lambda _suite: Path())
    monkeypatch.setattr(plugins, "_run", lambda _suite, side, *_: by_side[side])
    suite = Suite(name="x", version="1", tests=("t",), exceptions={"sidekiq": {"::one": "as listed"}})

    verdict, _, line = told.partition(": ")
    assert plugins._compare(suite) is (verdict == "fine")
    assert line in capsys.readouterr().out


def test_a_suite_that_is_not_in_the_release_is_taken_from_a_checkout_or_named(
    monkeypatch: Any, capsys: Any, tmp_path: Path
) -> None:
    suite = Suite(name="x", version="1", tests=("t",), in_release=False)
    monkeypatch.delenv("CELERY_PLUGINS_SOURCE", raising=False)
    assert plugins._compare(suite)
    assert "set CELERY_PLUGINS_SOURCE" in capsys.readouterr().out
    monkeypatch.setenv("CELERY_PLUGINS_SOURCE", str(tmp_path))
    (tmp_path / "x").mkdir()
    assert plugins._source(suite) == tmp_path / "x"


def test_an_unknown_name_is_told_with_those_that_there_are(capsys: Any) -> None:
    assert plugins.main(["celery-twice"]) == 2
    assert "celery-twice is none of django-celery-results" in capsys.readouterr().err


#: The program with one suite, whose only test waits, and nothing to install.
WAITS = """
import sys
from pathlib import Path
from bench.celery_suite.plugins import __main__ as plugins
from bench.celery_suite.plugins.suites import Suite
plugins.CACHE = Path(sys.argv[1])
plugins.SUITES = (Suite(name="waits", version="1", tests=("test_waits.py",)),)
plugins._install = lambda: None
sys.exit(plugins.main([]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_signal_ends_the_suites_and_their_brokers(
    tmp_path: Path, number: signal.Signals, code: int
) -> None:
    cache, source, begun = tmp_path / "cache", tmp_path / "waits", tmp_path / "begun"
    for folder in (cache, source, begun):
        folder.mkdir()
    (source / "test_waits.py").write_text(
        "import os, pathlib, time\n"
        "def test_waits():\n"
        f"    pathlib.Path({str(begun)!r}, str(os.getpid())).touch()\n"
        "    time.sleep(600)\n"
    )
    ended, said = ended_by(
        number,
        [sys.executable, "-c", WAITS, str(cache)],
        begun=lambda _family: len(list(begun.iterdir())) == len(plugins.SIDES),
        env={**os.environ, "CELERY_PLUGINS_SOURCE": str(tmp_path)},
        cwd=ROOT,
    )
    assert ended == code, said
    if number != signal.SIGKILL:
        assert said == f"celery-plugins: interrupted; what the suites printed is in {cache}\n"


def test_a_suite_without_a_configuration_does_not_take_ours(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(plugins, "CACHE", tmp_path)
    assert plugins._own_configuration(tmp_path)[0] == "-c"
    (tmp_path / "setup.cfg").write_text("[tool:pytest]\n")
    assert plugins._own_configuration(tmp_path) == []
