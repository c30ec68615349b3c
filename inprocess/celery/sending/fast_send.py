"""The fast path from `delay` to the broker, for the common call: a third of the cost of the full path.

The full path looks for routes, exchanges, delivery modes, producers, connections and signal receivers
before it builds its message. If a call uses none of them, and the app has no routes, no receiver of the
sending signals and no sent events, only the arguments differ between messages. The message is then built
directly, equal to that of the full path; a test compares both for any call. All other calls take the full
path.

Plain arguments (numbers, short strings) need no serialiser either: a copy of the list equals what JSON would
return.
"""

from __future__ import annotations

from typing import Any, Final

from kombu.utils.uuid import uuid

from inprocess.celery.broker.broker import Envelope
from inprocess.celery.celery_internals.internals import (
    SENDING_SIGNALS,
    anon_nodename,
    get_current_worker_task,
    saferepr,
)
from inprocess.celery.sending.amqp import InProcessAMQP
from inprocess.celery.sending.errors import refused
from inprocess.celery.sending.plain_values import MOST_ARGUMENTS, are_plain, quick_repr

#: Levels of nested values in `argsrepr` where Celery has no setting for it (before 5.7).
REPR_LEVELS: Final = 3
#: The options that the fast path knows; all others must be None.
USUAL: Final = frozenset(
    (
        "task_id",
        "result_cls",
        "shadow",
        "task_type",
        "ignore_result",
        "add_to_parent",
        "root_id",
        "parent_id",
        "serializer",
    )
)


class FastSend:
    """Replaces `app.send_task`."""

    def __init__(self, app: Any, amqp: InProcessAMQP) -> None:
        self._app = app
        self._amqp = amqp
        self._whole = app.send_task
        self._conf = app.conf
        self._origin = anon_nodename()
        self._queue: str = app.amqp.default_queue.name
        self._mode: int = app.amqp.default_queue.exchange.delivery_mode or 2

    def __call__(self, name: str, args: Any = None, kwargs: Any = None, *rest: Any, **options: Any) -> Any:
        """See `Celery.send_task`."""
        for option, value in options.items():
            if value is not None and option not in USUAL:
                return self._whole(name, args, kwargs, *rest, **options)
        task = options.get("task_type")
        args, kwargs = args or (), kwargs or {}
        if (
            rest
            or task is None
            or not (isinstance(args, tuple | list) and type(kwargs) is dict and self._is_usual())
        ):
            return self._whole(name, args, kwargs, *rest, **options)
        parent = get_current_worker_task()
        broker = self._amqp.broker
        if broker.refusal is not None and parent is None:
            raise refused(broker.refusal)
        headers = self._headers(name, args, kwargs, options, parent)
        serializer = options.get("serializer") or self._conf.task_serializer
        broker.put(self._envelope(headers, args, kwargs, serializer))
        result = (options.get("result_cls") or self._app.AsyncResult)(headers["id"])
        result.ignored = headers["ignore_result"]
        if parent is not None and options.get("add_to_parent", True):
            parent.add_trail(result)
        return result

    def _is_usual(self) -> bool:
        """Whether the app uses nothing that only the full path looks for."""
        conf = self._conf
        return not (
            conf.task_routes
            or conf.task_send_sent_event
            or conf.task_inherit_parent_priority
            or conf.task_compression
            or conf.task_protocol != 2  # noqa: PLR2004 - the protocol's number
            or any(signal.receivers for signal in SENDING_SIGNALS)
        )

    def _headers(
        self, name: str, args: Any, kwargs: Any, options: dict[str, Any], parent: Any
    ) -> dict[str, Any]:
        task_id = options.get("task_id") or uuid()
        root_id, parent_id = options.get("root_id"), options.get("parent_id")
        if parent is not None:
            request = parent.request
            root_id = root_id or request.root_id or request.id
            parent_id = parent_id or request.id
        longest = self._amqp.argsrepr_maxsize
        levels = getattr(self._conf, "task_repr_maxlevels", REPR_LEVELS)
        return {
            "lang": "py",
            "task": name,
            "id": task_id,
            "shadow": options.get("shadow"),
            "eta": None,
            "expires": None,
            "group": None,
            "group_index": None,
            "retries": 0,
            "timelimit": [None, None],
            "root_id": root_id or task_id,
            "parent_id": parent_id,
            "argsrepr": quick_repr(args, longest, levels),
            "kwargsrepr": saferepr(kwargs, self._amqp.kwargsrepr_maxsize, maxlevels=levels)
            if kwargs
            else "{}",
            "origin": self._origin,
            "ignore_result": options.get("ignore_result"),
            "replaced_task_nesting": 0,
            "stamped_headers": None,
            "stamps": {},
        }

    def _envelope(
        self, headers: dict[str, Any], args: Any, kwargs: dict[str, Any], serializer: str
    ) -> Envelope:
        properties = {
            "correlation_id": headers["id"],
            "reply_to": self._app.thread_oid,
            "priority": 0,
            "delivery_mode": self._mode,
        }
        links = {"callbacks": None, "errbacks": None, "chain": None, "chord": None}
        body: Any = (args, kwargs, links)
        content_type = encoding = None
        if self._amqp.strict:
            if (
                serializer == "json"
                and len(args) <= MOST_ARGUMENTS
                and are_plain(args)
                and are_plain(kwargs.values())
            ):
                body = [list(args), dict(kwargs), links]
            else:
                body, content_type, encoding = self._amqp.serialised(
                    headers["task"], body, serializer, None, headers
                )
        queue = self._queue
        return Envelope(queue, body, content_type, encoding, headers, properties, "", queue)
