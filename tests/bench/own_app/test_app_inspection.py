"""What a child process tells of an app, and the one line for each app that cannot be run."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from bench.errors import BenchError
from bench.own_app.app_inspection import inspect_app
from bench.own_app.children.app_description import AppDescription
from bench.own_app.interpreter import inspect
from bench.process.asgi_server import listening_socket, port_of

HERE = inspect(Path(sys.executable))
EXAMPLES = Path(__file__).parents[3] / "examples"
APP = """
    from celery import Celery
    app = Celery("shop", broker="redis://user:secret@127.0.0.1:1/0")

    @app.task
    def pay(order_id: int, *, currency: str = "EUR") -> None: ...

    @app.task(bind=True)
    def retry(self, order_id): ...
"""
Calls = Mapping[str, Sequence[Any]]


def told(
    folder: Path, app: str, calls: Calls | None = None, *, reach: bool = False, within_s: float = 60
) -> str:
    with pytest.raises(BenchError) as caught:
        inspect_app(app, folder, calls or {}, interpreter=HERE, reach=reach, within_s=within_s)
    text = str(caught.value)
    assert text == " ".join(text.split()), "one line"
    return text


def shop(**calls: Any) -> AppDescription:
    return inspect_app("shop.celery:app", EXAMPLES / "shop", calls, interpreter=HERE, reach=False)


def test_an_app_tells_its_tasks_queues_schedule_and_settings() -> None:
    description = inspect_app(
        "shop.celery:app",
        EXAMPLES / "shop",
        {"shop.tasks.send_receipt": [[[42], {"language": "de"}]]},
        interpreter=HERE,
        reach=False,
    )
    assert description.signatures == {
        "shop.tasks.send_receipt": "(order_id: int, *, language: str = 'en') -> None"
    }
    assert set(description.queues) == {"celery", "mail"}
    assert [(entry.name, entry.seconds) for entry in description.entries] == [
        ("sweep-carts", 1.0),
        ("nightly-report", 86400.0),
    ]
    assert "task_acks_late" in description.queue_settings
    assert "timezone" in set(description.settings) - set(description.queue_settings)


def test_django_is_set_up_from_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    clinic, calls = EXAMPLES / "django_clinic", {"visits.tasks.remind": [[[1], {}]]}
    wants = "clinic needs Django's settings: put DJANGO_SETTINGS_MODULE=clinic.settings before the command"
    monkeypatch.delenv("DJANGO_SETTINGS_MODULE", raising=False)
    assert told(clinic, "clinic", calls) == wants
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "clinic.settings")
    description = inspect_app("clinic", clinic, calls, interpreter=HERE, reach=False)
    assert [(entry.name, entry.seconds) for entry in description.entries] == [
        ("remind-of-tomorrow", None),
        ("poll-laboratory", None),
    ]
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "clinic.setings")
    assert "No module named 'clinic.setings'" in told(clinic, "clinic", calls)


def test_what_does_not_import_is_named_with_its_place(project: Any) -> None:
    folder = project(
        shop="import stripe_sdk",
        other="app = 3",
        third="import sys\nsys.exit('no licence')",
        fourth="import os\nos._exit(7)",
    )
    assert (
        told(folder, "store.celery:app")
        == f"no module is called 'store' in {folder}: start from the project's folder"
    )
    assert told(folder, "shop:app") == (
        "importing shop:app failed in shop.py, line 1: ModuleNotFoundError: No module named 'stripe_sdk'"
    )
    assert told(folder, "other:celery") == ("other has no attribute 'celery': there is no Celery app in it")
    assert told(folder, "other:app") == "other:app is a int, not a Celery app"
    assert (
        told(folder, "third:app") == "importing third:app ended the process: it called sys.exit('no licence')"
    )
    assert told(folder, "fourth:app").startswith("importing fourth:app ended its process with 7")
    assert told(folder, "bench.celery:app").startswith("no module is called 'bench.celery'")


def test_a_task_that_is_not_there_brings_the_nearest_names(project: Any) -> None:
    folder = project(shop=APP)
    assert told(folder, "shop:app", {"shop.pya": []}) == (
        "no task of the app is called 'shop.pya': the nearest are shop.pay, shop.retry"
    )
    assert told(folder, "shop:application").endswith("the Celery apps in it: app")


def test_arguments_are_tried_on_the_signature_before_anything_runs(project: Any) -> None:
    folder = project(shop=APP)
    assert told(folder, "shop:app", {"shop.pay": [[[1], {}], [[1, 2], {}]]}) == (
        "args [1, 2], kwargs {} do not fit shop.pay(order_id: int, *, currency: str = 'EUR') -> None: "
        "too many positional arguments"
    )
    assert "missing a required argument: 'order_id'" in told(folder, "shop:app", {"shop.retry": [[[], {}]]})
    assert inspect_app(
        "shop:app", folder, {"shop.retry": [[[1], {}]]}, interpreter=HERE, reach=False
    ).signatures == {"shop.retry": "(order_id)"}


def test_a_coroutine_task_without_greenlet_is_refused_with_the_way_to_install_it(project: Any) -> None:
    source = f"""{APP}
    import sys
    sys.modules["greenlet"] = None  # as where it is not installed

    @app.task(autoretry_for=(OSError,))
    async def wait(n): ...
    """
    line = told(project(shop=source), "shop:app", {"shop.wait": [[[1], {}]]})
    assert line.startswith("shop.wait is a coroutine, which runs in-process by greenlet: ")
    assert line.endswith("/python -m pip install greenlet")


def test_a_broker_that_does_not_answer_is_told_without_its_password(project: Any) -> None:
    line = told(project(shop=APP), "shop:app", reach=True)
    assert "the app's broker redis://" in line
    assert "does not answer" in line
    assert "leave out --use-app-broker" in line
    assert "secret" not in line


def test_the_same_of_an_app_with_sidekiq(project: Any) -> None:
    hard = (
        APP.replace("redis://", "lease+redis://")
        + "    from celery_impl.sidekiq import Sidekiq\n    Sidekiq(app)\n"
    )
    line = told(project(shop=hard), "shop:app", reach=True)
    assert line.startswith("the app's broker lease+redis://")
    assert "does not answer" in line
    assert "secret" not in line


def test_a_task_sent_while_modules_are_imported_goes_nowhere(project: Any) -> None:
    with listening_socket() as silent:
        address = f"127.0.0.1:{port_of(silent)}"
        source = f"{APP.replace('127.0.0.1:1', address)}\n    pay.delay(1)\n"
        description = inspect_app(
            "shop:app", project(shop=source), {"shop.pay": []}, interpreter=HERE, reach=False
        )
        with pytest.raises(BlockingIOError):
            silent.accept()
    assert description.broker.startswith(f"redis://user:**@{address}")


def test_an_import_that_never_ends_is_ended_and_leaves_no_process(project: Any) -> None:
    folder = project(shop="import subprocess, time\nsubprocess.Popen(['sleep', '4321'])\ntime.sleep(4321)")
    assert "took longer than 2 s" in told(folder, "shop:app", within_s=2)
    assert [
        each for each in psutil.process_iter(["cmdline"]) if each.info["cmdline"] == ["sleep", "4321"]
    ] == []


def test_what_the_app_prints_does_not_disturb_its_answer(project: Any) -> None:
    description = inspect_app(
        "shop:app",
        project(shop=f"{APP}\n    print('hello')\n"),
        {"shop.pay": []},
        interpreter=HERE,
        reach=False,
    )
    assert list(description.signatures) == ["shop.pay"]
