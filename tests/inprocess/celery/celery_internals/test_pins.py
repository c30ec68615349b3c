"""What of Celery's and kombu's insides this package relies on.

Where a new version of Celery changes one of these, the test that fails here says which, before
an app does.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import celery as typed_celery
import kombu as typed_kombu
import pytest
from celery import Celery
from celery.app.task import Task

from inprocess.celery import standby
from inprocess.celery.attach import settings_cache
from inprocess.celery.celery_internals import internals, join_flag
from inprocess.celery.sending.fast_send import USUAL
from inprocess.celery.worker import steps

#: Their stubs leave out what is looked at here.
celery: Any = typed_celery
kombu: Any = typed_kombu

#: The release lines that this package was written against and tried with.
CELERY, KOMBU = "5.7", "5.7"


def parameters(function: Callable[..., Any]) -> list[str]:
    return list(inspect.signature(function).parameters)


def test_the_versions_are_those_that_were_tried() -> None:
    assert celery.__version__.startswith(f"{CELERY}.")
    assert kombu.__version__.startswith(f"{KOMBU}.")


@pytest.mark.parametrize(
    ("where", "names"),
    [
        (internals.AMQP, ["as_task_v2", "producer_pool", "default_queue", "queues", "argsrepr_maxsize"]),
        (internals.Control, ["broadcast", "inspect"]),
        (
            internals.BasePool,
            ["on_apply", "terminate_job", "apply_async", "_get_info", "task_join_will_block"],
        ),
        (internals.WorkController, ["_process_task", "on_consumer_ready", "setup_defaults", "Blueprint"]),
        (
            internals.Consumer,
            ["Strategies", "create_task_handler", "bucket_for_task", "apply_eta_task", "_limit_move_to_pool",
             "call_soon", "on_ready", "on_decode_error", "on_invalid_task", "update_strategies"],
        ),
        (internals.AsyncBackendMixin, ["add_pending_result", "_add_pending_result", "_wait_for_pending"]),
        (
            internals.BaseKeyValueStoreBackend,
            ["_store_result", "_get_task_meta_for", "_get_result_meta", "get_key_for_chord", "chord_expires",
             "chord_error_from_stack", "encode_result", "exception_to_python"],
        ),
        (
            internals.BaseResultConsumer,
            ["drain_events_until", "on_state_change", "consume_from", "cancel_for"],
        ),
        (internals.KombuProducer, ["publish", "_prepare"]),
        (internals.KombuTimer, ["_enter", "enter_after", "apply_entry", "schedule", "queue"]),
        (internals.VirtualChannel, ["_put", "_get", "_size", "_purge", "_has_queue", "_new_queue"]),
        (Celery, ["builtin_fixups", "_connection", "_get_backend", "send_task", "finalize", "_rgetattr"]),
        (Task, ["start_strategy", "push_request", "request_stack", "add_trail", "AsyncResult"]),
        (internals.state_module, ["_task_stack", "_apps", "get_current_app", "get_current_worker_task"]),
        (internals.worker_state, ["requests", "reserved_requests", "active_requests", "revoked"]),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)  # fmt: skip
def test_the_parts_that_are_built_on_are_there(where: Any, names: list[str]) -> None:
    assert [name for name in names if not hasattr(where, name)] == []


def test_the_options_of_send_task_are_those_that_the_express_way_knows_of() -> None:
    known = set(parameters(Celery.send_task)[4:]) | {"ignore_result", "serializer"}
    assert known >= USUAL
    assert parameters(Celery.send_task)[:4] == ["self", "name", "args", "kwargs"]


def test_the_fields_of_a_message_are_those_that_the_express_way_writes() -> None:
    app: Any = Celery("pin", set_as_current=False)
    message = app.amqp.as_task_v2("id", "task", (1,), {})
    assert list(message.headers) == [
        "lang", "task", "id", "shadow", "eta", "expires", "group", "group_index", "retries", "timelimit",
        "root_id", "parent_id", "argsrepr", "kwargsrepr", "origin", "ignore_result", "replaced_task_nesting",
        "stamped_headers", "stamps",
    ]  # fmt: skip
    assert list(message.properties) == ["correlation_id", "reply_to"]
    assert message.body[2] == {"callbacks": None, "errbacks": None, "chain": None, "chord": None}


def test_a_request_asks_the_pool_as_ours_expects() -> None:
    asked = inspect.getsource(celery.worker.request.create_request_cls)
    for option in (
        "accept_callback",
        "timeout_callback",
        "callback",
        "error_callback",
        "soft_timeout",
        "timeout",
    ):
        assert f"{option}=" in asked
    assert "args=(self.type, task_id, self.request_dict, self.body," in asked


def test_the_pools_own_tracer_does_what_celerys_does_but_for_the_hosts_name() -> None:
    source = inspect.getsource(celery.app.trace.trace_task_ret)
    assert "hostname = gethostname()" in source
    assert "'hostname': hostname, 'is_eager': False," in source
    assert "return (1, R, T) if I else (0, Rstr, T)" in source
    assert "trace_task_ret" in inspect.getsource(celery.worker.request)


def test_steps_are_ordered_and_named_as_ours_expect() -> None:
    assert parameters(internals.Blueprint._finalize_steps) == ["self", "steps"]
    assert "for S in self._finalize_steps(steps):" in inspect.getsource(internals.Blueprint.apply)
    assert celery.worker.consumer.connection.Connection.name == steps.Connection.name
    assert celery.worker.consumer.tasks.Tasks.name == steps.Tasks.name


def test_a_worker_that_celery_has_set_up_is_known_by_its_tracer() -> None:
    assert "app.use_fast_trace_task = True" in inspect.getsource(celery.app.trace.setup_worker_optimizations)
    app: Any = Celery(set_as_current=False)
    assert app.use_fast_trace_task is False


def test_kombu_loads_what_names_a_serializer_when_it_is_imported() -> None:
    assert "for ep, args in entrypoints('kombu.serializers')" in inspect.getsource(kombu.serialization)
    assert "inprocess" in kombu.transport.TRANSPORT_ALIASES


def test_a_tracer_takes_a_body_without_a_content_type_as_it_is() -> None:
    source = inspect.getsource(celery.app.trace.trace_task_ret)
    assert "if content_type:" in source
    assert "args, kwargs, embed = body" in source
    assert "app" in parameters(celery.app.trace.trace_task_ret)
    assert parameters(internals.build_tracer)[:4] == ["name", "task", "loader", "hostname"]


def test_stacks_take_another_identity() -> None:
    stack: Any = celery.utils.threads._LocalStack()
    stack.__ident_func__ = lambda: "one"
    stack.push(1)
    stack.__ident_func__ = lambda: "two"
    assert (stack.top, len(stack)) == (None, 0)
    stack.__ident_func__ = lambda: "one"
    assert stack.pop() == 1


def test_autoretry_keeps_the_function_that_it_wraps() -> None:
    assert "task._orig_run, task.run = task.run, run" in inspect.getsource(celery.app.autoretry)


def test_results_ask_by_name_whether_they_would_block() -> None:
    for name in (join_flag.READ, join_flag.WRITE):
        assert callable(getattr(internals.result_module, name))
    source = inspect.getsource(internals.result_module.allow_join_result)
    assert join_flag.READ in source
    assert join_flag.WRITE in source


def test_settings_change_by_the_methods_that_are_watched() -> None:
    conf: Any = Celery("pin", set_as_current=False).conf
    conf.finalize()
    kind = type(conf)
    assert [name for name in settings_cache.CHANGES if not hasattr(kind, name)] == []
    assert isinstance(kind.timezone, property)
    assert kind.__getattr__ is celery.utils.collections.AttributeDictMixin.__getattr__


def test_the_size_of_a_chord_is_told_before_its_last_part_is_sent() -> None:
    source = inspect.getsource(celery.canvas.group._apply_tasks)
    assert source.index("set_chord_size") < source.index("sig.apply_async(")


def test_a_fixup_is_called_with_the_app() -> None:
    seen: list[Any] = []
    app: Any = celery.Celery("pin", set_as_current=False, fixups=[seen.append])
    assert seen == [app]
    assert standby.FIXUP in celery.Celery.builtin_fixups
    assert all(hasattr(app, maker) for maker in standby.LATE)
