"""Hosts of a build that faults aim at: apps without a lifespan, with a tree or connections from import on.

QUEUE_OR_TASK_HOST names one.

| host    | server                                                                              |
|---------|-------------------------------------------------------------------------------------|
| runtime | uvicorn as its command runs it: it handles the signals, and raises SIGTERM again at its end |
| preload | gunicorn with preload: the app and its tree are made before the fork of two workers |
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import uvicorn
from starlette.types import ASGIApp

from bench.atomic_write import write_json
from bench.process.asgi_server import HOST, REQUEST_GRACE_S, listening_socket, url_of

RUNTIME, PRELOAD = "runtime", "preload"
#: Workers of gunicorn.
WORKERS = 2


class _Server(uvicorn.Server):
    """A uvicorn server with its own signals, which writes `app.json` when it listens."""

    def __init__(self, app: ASGIApp, ready: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                cast("Any", app),  # Starlette and uvicorn spell the same protocol in two ways
                access_log=False,
                log_level="warning",
                lifespan="on",
                timeout_graceful_shutdown=REQUEST_GRACE_S,
            )
        )
        self._ready = ready

    async def startup(self, sockets: list[Any] | None = None) -> None:
        """Start as uvicorn does, then say so."""
        await super().startup(sockets=sockets)
        self._ready()


def serve_with_uvicorn(app: ASGIApp, port: int, folder: Path) -> None:
    """Serve until a signal, as `uvicorn` does; raise PortTakenError."""
    bound = listening_socket(port)
    _Server(app, lambda: _write_ready(folder, url_of(bound))).run(sockets=[bound])


def serve_preloaded(make: Callable[[], ASGIApp], port: int, folder: Path) -> None:
    """Serve with `gunicorn --preload` and its own ASGI workers."""
    from gunicorn.app.base import BaseApplication  # late: only this host needs it

    class Preloaded(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
        """The app, as gunicorn loads it: before it forks."""

        def load_config(self) -> None:
            """Set what the command line would."""
            options = {
                "bind": [f"{HOST}:{port}"],
                "workers": WORKERS,
                "worker_class": "asgi",
                "preload_app": True,
                "graceful_timeout": REQUEST_GRACE_S,
                "loglevel": "warning",
                "worker_tmp_dir": str(folder),
                "control_socket_disable": True,
                "when_ready": lambda arbiter: _write_ready(
                    folder, "http://{}:{}".format(*arbiter.LISTENERS[0].sock.getsockname()[:2])
                ),
            }
            for name, value in options.items():
                if name in self.cfg.settings:
                    self.cfg.set(name, value)

        def load(self) -> ASGIApp:
            """Make the app."""
            return make()

    Preloaded().run()


def _write_ready(folder: Path, url: str) -> None:
    write_json(folder / "app.json", {"url": url, "pid": os.getpid()})
