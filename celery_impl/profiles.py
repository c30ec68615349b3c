"""What the two profiles set, as data: Celery's defaults, and what it takes to lose nothing.

| variable                           | meaning                                    | default                  |
|------------------------------------|--------------------------------------------|--------------------------|
| REDIS_URL                          | the broker: redis://, rediss:// or unix:// | redis://127.0.0.1:6379/0 |
| AMQP_URL                           | RabbitMQ instead: amqp:// or amqps://      | nothing                  |
| QUEUE_OR_TASK_PROFILE              | stock or hardened                          | hardened                 |
| QUEUE_OR_TASK_KEY_PREFIX           | what every key in the broker begins with   | nothing                  |
| QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S | the visibility timeout of either profile   | 3600 stock, 5 hardened   |
| QUEUE_OR_TASK_FETCH                | how hardened takes jobs: lease or timeout  | lease                    |
| QUEUE_OR_TASK_BUFFER               | jobs that hardened keeps in its caller     | none: the caller gets an |
|                                    | while the broker is away                   | error                    |
| QUEUE_OR_TASK_SYNC_INTERVAL_S      | seconds between two syncs of an owner      | 1                        |

The visibility timeout is for the harness, which cannot wait an hour; a run that sets it says so. It shortens
stock's sweep for what has timed out too, from every 100 s to hardened's every second: a timeout of
seconds that is enforced after minutes would show nothing. With leases (`lease+redis://`, see
`sidekiq.lease.transport`) it means nothing; `timeout` is kombu's own fetch, with leases of that length
renewed by `sidekiq.worker.maintenance`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

#: How hardened takes jobs: under a lease, or with kombu's visibility timeout.
LEASE: Final = "lease"
TIMEOUT: Final = "timeout"
#: Seconds after which a job is interrupted with SoftTimeLimitExceeded, which is retried like any
#: other error. Above the 5 s that one call to an outside service may take.
SOFT_TIME_LIMIT_S: Final = 7
#: Seconds after which the process of a job is killed; the job goes to the dead set.
TIME_LIMIT_S: Final = 8
#: Seconds after which the jobs of a dead worker go back to the queue. Living workers renew it every
#: second (`sidekiq.worker.maintenance`), so that it need not exceed the longest job.
VISIBILITY_TIMEOUT_S: Final = 5.0
#: Seconds between two looks for jobs of dead workers; kombu's default makes it 100.
RESTORE_INTERVAL_S: Final = 1
#: Seconds for which one worker may hold the right to look: one that dies while it holds it blocks
#: the others for so long (kombu's default is 300).
RESTORE_MUTEX_S: Final = 5
#: Seconds until a connection attempt to the broker fails.
CONNECT_TIMEOUT_S: Final = 0.3
#: Seconds until an unanswered command fails: what an enqueue to a silent broker costs its caller.
SOCKET_TIMEOUT_S: Final = 0.5
#: Seconds that a caller waits for one of the broker connections of its process.
POOL_TIMEOUT_S: Final = 0.2
#: Seconds between two syncs of an owner.
SYNC_INTERVAL_S: Final = 1.0
#: Seconds between two checks of the worker's long-lived connections (kombu's default is 25).
HEALTH_CHECK_S: Final = 2


class ProfileError(ValueError):
    """QUEUE_OR_TASK_PROFILE or another variable of a profile cannot be used."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """One way to run Celery: its settings, whether `Sidekiq(app)` is applied, how ticks expire."""

    name: str
    sidekiq: bool = False
    #: Seconds after which a queued sync is pointless and dropped; None keeps it for ever.
    sync_expires_s: float | None = None
    #: What the task of one sync is made with beside its name.
    sync_options: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    transport_options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def lines(self) -> int:
        """Lines that its user writes: broker URL, beat entry, expiry, `Sidekiq(app)`, settings, options."""
        written = (True, True, self.sync_expires_s is not None, self.sidekiq)
        return sum(written) + len(self.sync_options) + len(self.settings) + len(self.transport_options)


#: How kombu looks for the jobs of dead workers, in hardened and wherever the harness scales time.
SWEEP: Final = {
    "unacked_restore_interval": RESTORE_INTERVAL_S,
    "unacked_restore_throttle": 1,
    "unacked_mutex_expire": RESTORE_MUTEX_S,
}

STOCK: Final = Profile(name="stock")

HARDENED: Final = Profile(
    name="hardened",
    sidekiq=True,
    sync_expires_s=1.0,
    # A sync that outlasts its interval is not joined by the next: that tick is missed.
    sync_options={"sidekiq_unique": "until_done"},
    settings={
        "task_acks_late": True,
        "task_reject_on_worker_lost": True,
        "worker_prefetch_multiplier": 1,
        "task_soft_time_limit": SOFT_TIME_LIMIT_S,
        "task_time_limit": TIME_LIMIT_S,
        # Two of these send each tick once, and a killed one is followed by the other.
        "beat_scheduler": "celery_impl.sidekiq.beat:LeasedScheduler",
        # Sending again after a time-out would make two jobs of one, should the first arrive late.
        "task_publish_retry": False,
        "broker_pool_acquire_timeout": POOL_TIMEOUT_S,
        "broker_connection_retry_on_startup": True,
        "broker_connection_max_retries": None,
        # Celery's own default, but it warns of a change. Killed children wait up to 30 s until their
        # last result is read, and take no job meanwhile; the running jobs' leases live on.
        "worker_cancel_long_running_tasks_on_connection_loss": False,
    },
    transport_options={
        "visibility_timeout": VISIBILITY_TIMEOUT_S,
        **SWEEP,
        "socket_connect_timeout": CONNECT_TIMEOUT_S,
        "socket_timeout": SOCKET_TIMEOUT_S,
        "socket_keepalive": True,
        "health_check_interval": HEALTH_CHECK_S,
        "max_retries": 0,
    },
)

#: Hardened on RabbitMQ, which has neither unique jobs nor the leased beat.
HARDENED_ON_RABBITMQ: Final = replace(
    HARDENED,
    sync_options={},
    settings={name: value for name, value in HARDENED.settings.items() if name != "beat_scheduler"},
)

PROFILES: Final = {profile.name: profile for profile in (STOCK, HARDENED)}


def select_profile(env: Mapping[str, str]) -> Profile:
    """Return the profile that QUEUE_OR_TASK_PROFILE names; raise ProfileError for an unknown one."""
    name = env.get("QUEUE_OR_TASK_PROFILE") or HARDENED.name
    if name not in PROFILES:
        message = f"QUEUE_OR_TASK_PROFILE is {name!r}: expected {' or '.join(PROFILES)}"
        raise ProfileError(message)
    return HARDENED_ON_RABBITMQ if name == HARDENED.name and env.get("AMQP_URL") else PROFILES[name]


def celery_settings(profile: Profile, env: Mapping[str, str]) -> dict[str, Any]:
    """Celery's settings for the profile and the environment; raise ProfileError for a bad value."""
    if amqp := env.get("AMQP_URL"):
        return {"broker_url": amqp, **profile.settings}  # the transport options are all Redis's
    url = _broker_url(env)
    settings = {
        "broker_url": _leased(url) if profile.sidekiq and _fetch(env) == LEASE else url,
        **profile.settings,
    }
    options = {**profile.transport_options, **_options_of(env)}
    return {**settings, "broker_transport_options": options} if options else settings


def _broker_url(env: Mapping[str, str]) -> str:
    url = env.get("REDIS_URL") or "redis://127.0.0.1:6379/0"
    return url.replace("unix://", "redis+socket://", 1).replace("?db=", "?virtual_host=")


def _leased(url: str) -> str:
    return url if url.startswith("lease+") else f"lease+{url.replace('redis+socket://', 'socket://', 1)}"


def _fetch(env: Mapping[str, str]) -> str:
    fetch = env.get("QUEUE_OR_TASK_FETCH") or LEASE
    if fetch not in (LEASE, TIMEOUT):
        message = f"QUEUE_OR_TASK_FETCH is {fetch!r}: expected {LEASE} or {TIMEOUT}"
        raise ProfileError(message)
    return fetch


def _options_of(env: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    if prefix := env.get("QUEUE_OR_TASK_KEY_PREFIX"):
        options["global_keyprefix"] = prefix
    if text := env.get("QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S"):
        options |= {"visibility_timeout": _seconds("QUEUE_OR_TASK_VISIBILITY_TIMEOUT_S", text), **SWEEP}
    return options


def buffer_size(env: Mapping[str, str]) -> int | None:
    """Return the `buffer` of `Sidekiq(app)`, None for no buffer; raise ProfileError for a bad value."""
    text = env.get("QUEUE_OR_TASK_BUFFER")
    if not text:
        return None
    if not text.isdecimal() or not int(text):
        message = f"QUEUE_OR_TASK_BUFFER is {text!r}: expected a whole number of jobs from 1"
        raise ProfileError(message)
    return int(text)


def sync_interval_s(env: Mapping[str, str]) -> float:
    """Return the seconds between two syncs of an owner; raise ProfileError for a bad value."""
    text = env.get("QUEUE_OR_TASK_SYNC_INTERVAL_S")
    return _seconds("QUEUE_OR_TASK_SYNC_INTERVAL_S", text) if text else SYNC_INTERVAL_S


def _seconds(name: str, text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds < float("inf"):
        message = f"{name} is {text!r}: expected a number of seconds above 0"
        raise ProfileError(message)
    return seconds
