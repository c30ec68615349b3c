"""The peers: how each worker is started, how its queue is filled, and when it is empty.

The jobs of a round lie aside, as the library itself has sent them, and the broker copies them to their queue
in one step, so that neither a worker's start nor the sending is timed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

import redis

from bench.micro.yardsticks import apps
from celery_impl.sidekiq.lease.lease_store import HELD
from celery_impl.sidekiq.redis.queue_signal import signal_key

#: What stands before the keys that lie aside.
ASIDE: Final = "aside:"
STREAM: Final = "taskiq"
FOLDER: Final = Path(__file__).parent

_COPY_STREAM: Final = """
for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '-', '+')) do
    redis.call('XADD', KEYS[2], '*', unpack(entry[2]))
end
"""


@dataclass(frozen=True, slots=True)
class Peer:
    """A job queue and one way to run its worker, as one process.

    `make(url)` returns its app. `command` starts a worker that logs a line or two for each
    job, `quiet` one that does not. `keys` hold what is sent.
    """

    name: str
    kind: str
    make: Callable[[str], apps.Made]
    command: tuple[str, ...]
    quiet: tuple[str, ...]
    keys: tuple[str, ...]
    scheme: str = ""

    def missing(self) -> str:
        """Why it cannot be measured here, and the line that helps; empty where it can."""
        if self.kind == "sidekiq":
            return "" if _has_sidekiq() else f"{self.name} is not installed: apt-get install ruby-sidekiq"
        module = {"dramatiq": "dramatiq", "taskiq": "taskiq_redis"}.get(self.kind, "celery")
        return "" if find_spec(module) else f"{self.name} is not installed: pip install -e '.[dev]'"

    def environment(self, url: str, delays: Path) -> Mapping[str, str]:
        """The variables of its worker."""
        own = {apps.PEER: self.kind, apps.URL: self.scheme + url, apps.DELAYS: str(delays)}
        own["REDIS_URL"] = url  # Sidekiq's
        return {**os.environ, **own, "PYTHONPATH": f"{FOLDER.parent.parent.parent}:{FOLDER}"}

    def put_aside(self, client: redis.Redis) -> None:
        """Keep what was sent as the jobs of each round."""
        for key in self.keys:
            client.rename(key, ASIDE + key)

    def is_ready(self, client: redis.Redis) -> bool:
        """Whether jobs may be queued: what comes into a stream before its group is there is not seen."""
        return self.kind != "taskiq" or bool(client.exists(STREAM) and client.xinfo_groups(STREAM))

    def fill(self, client: redis.Redis) -> None:
        """Queue the jobs that lie aside, at once."""
        if self.kind == "taskiq":
            client.eval(_COPY_STREAM, 2, ASIDE + STREAM, STREAM)
            return
        with client.pipeline(transaction=True) as pipe:
            for key in self.keys:
                pipe.copy(ASIDE + key, key)
            if self.scheme:
                pipe.zadd(signal_key("celery"), {"1": 0})
            pipe.execute()

    def is_drained(self, client: Any) -> bool:
        """Whether every job was run and acknowledged."""
        if self.kind == "taskiq":
            [group] = client.xinfo_groups(STREAM)
            return bool(group["pending"] == 0 and group["lag"] == 0)
        if self.kind in ("dramatiq", "sidekiq"):  # of Sidekiq's, ten may still run
            return not client.exists(*self.keys)
        left = client.llen("celery") + client.hlen("unacked")
        return not left and not any(client.hlen(key) for key in client.scan_iter(f"{HELD}*"))


@cache
def _has_sidekiq() -> bool:
    ruby = shutil.which("ruby")
    look = ("-e", "require 'sidekiq'")
    return ruby is not None and not subprocess.run([ruby, *look], capture_output=True, check=False).returncode


def _sidekiq(first: str) -> tuple[str, ...]:
    """The command of a worker that does this first; without a gem's script on PATH."""
    text = f"require 'sidekiq/cli'; {first}; cli = Sidekiq::CLI.instance; cli.parse(ARGV); cli.run"
    return ("ruby", "-e", text, "--", "-r", "./nothing.rb")


def _celery(name: str, scheme: str, multiplier: int) -> Peer:
    less = ("--without-gossip", "--without-mingle", "--without-heartbeat")
    options = ("-P", "solo", "--prefetch-multiplier", str(multiplier), *less)
    log = (sys.executable, "-m", "celery", "-A", "apps", "worker", *options, "--loglevel")
    return Peer(name, "celery", apps.make_celery, (*log, "INFO"), (*log, "WARNING"), ("celery",), scheme)


_DRAMATIQ: Final = (sys.executable, "-m", "dramatiq", "apps:broker", "--processes", "1")
_TASKIQ: Final = (sys.executable, "-m", "taskiq", "worker", "apps:broker", "--workers", "1", "--log-level")
_MESSAGES: Final = ("dramatiq:default", "dramatiq:default.msgs")

PEERS: Final = (
    _celery("stock", "", 10),
    Peer("dramatiq", "dramatiq", apps.make_dramatiq, (*_DRAMATIQ, "-v"), _DRAMATIQ, _MESSAGES),
    Peer("taskiq", "taskiq", apps.make_taskiq, (*_TASKIQ, "INFO"), (*_TASKIQ, "WARNING"), (STREAM,)),
    Peer(
        "sidekiq",
        "sidekiq",
        apps.make_sidekiq,
        _sidekiq("Sidekiq.logger.level = Logger::INFO"),
        _sidekiq("Sidekiq.logger.level = Logger::WARN"),
        ("queue:default",),
    ),
    _celery("ours, 1 held", "lease+", 1),
    _celery("ours, 10 held", "lease+", 10),
)
