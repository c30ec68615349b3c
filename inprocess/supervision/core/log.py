"""The one logger of the runtime, a file of its own so that every module can use it without a circle.

A filter or a handler of the app that raises must not end what is being logged about: its error is passed
to `sys.unraisablehook`, which prints it.
"""

from __future__ import annotations

import logging
import sys
from types import SimpleNamespace

log = logging.getLogger("inprocess")


def _handle(record: logging.LogRecord) -> None:
    try:
        logging.Logger.handle(log, record)
    except Exception as error:  # noqa: BLE001 - see the module
        sys.unraisablehook(
            SimpleNamespace(
                exc_type=type(error),
                exc_value=error,
                exc_traceback=error.__traceback__,
                err_msg="Exception ignored in a handler or filter of the log",
                object=record.msg,
            )
        )


log.handle = _handle  # type: ignore[method-assign]  # every record of this logger goes through it
