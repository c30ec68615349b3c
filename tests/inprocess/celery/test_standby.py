from __future__ import annotations

from typing import Any

from celery import Celery
from celery.app.amqp import AMQP

from inprocess.celery import run_in_process
from inprocess.celery.sending.amqp import InProcessAMQP


class OwnAMQP(AMQP):
    """What an extension puts in front of Celery's."""


def built_upon(broker_url: str) -> Any:
    app: Any = Celery("built upon", broker=broker_url, set_as_current=False)
    app.amqp_cls = type("Own", (OwnAMQP, app.amqp_cls), {})
    return app


def test_what_makes_an_apps_messages_can_be_built_upon_as_without_us() -> None:
    app = built_upon("memory://")
    assert isinstance(app.amqp, OwnAMQP)
    assert app.amqp.app is app


def test_an_app_that_is_built_upon_still_stands_by_where_its_broker_is_this_process() -> None:
    assert isinstance(built_upon("inprocess://").amqp, InProcessAMQP)


def test_an_app_whose_broker_is_this_process_may_keep_a_result_backend_of_its_own() -> None:
    app: Any = Celery("own results", broker="inprocess://", backend="cache+memory://", set_as_current=False)

    @app.task(name="one", shared=False)
    def one() -> int:
        return 1

    with run_in_process(app, memory_results=False):
        assert one.delay().get(timeout=30) == 1
        assert type(app.backend).__name__ == "CacheBackend"
