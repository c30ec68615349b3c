"""The one line by which a task of yours tells a run what it did: `effect("receipt", 42)`.

    from bench.hooks import effect

    @app.task
    def send_receipt(order_id):
        mail.send(...)
        effect("receipt", order_id)

Outside a run of `queue-or-task run --app …` it does nothing and costs one comparison. This module
imports nothing, so it may stand in code that is served. Call it right after the thing is done; a job
that did it twice is then counted as duplicated, which a task's completion alone cannot show.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as typing's, which is not imported here
if TYPE_CHECKING:
    from collections.abc import Callable

#: The kind of the effect that a run notes when a task that noted none is done.
COMPLETION = "completion"
#: Set by a run in the processes that it starts (`bench.own_app.children.recording`).
_note: Callable[[str, object], None] | None = None


def effect(kind: str, key: object = "") -> None:
    """Note that the running task has had an effect: what kind, and for whom or what."""
    if _note is not None:
        _note(kind, key)
