"""Background work inside the app's own process: OTP's supervision on asyncio, standard library only.

    from inprocess import GenServer, Periodic, Supervisor, Task, TaskSupervisor

**Run something.** `TaskSupervisor.start_child(fn, *args, restart=...)` runs a function, restarted
when it crashes; on the loop, in a thread or in a process (`isolation=`). `async_`, `async_nolink`
and `async_stream` bring results back. `Task.start(fn, *args)` is fire and forget.

**Keep state.** `GenServer`: one message at a time. `Periodic`: work on an absolute grid, with
policies for overlap and misfires, its last tick kept over restarts (`FileTickStore`); `FixedDelay` is the
naive way. `Leased` runs a process on one
of several replicas, by a file, Redis or PostgreSQL.

**Keep it running.** `Supervisor`, `DynamicSupervisor`, `PartitionSupervisor`, to any depth.
`drain` ends a tree gracefully and reports what was cut off. `Runtime` is a loop on a thread for
callers that have none, `asgi` ties a tree to an ASGI app; `around_every_job` and
`inprocess.integrations` give jobs what Flask and Django set up around requests.

**Find and watch.** `whereis`, `Registry`; `sys` inspects any server or supervisor, `snapshot` the whole tree;
`telemetry` reports events; `redact` keeps secrets out of crash logs. A watchdog names what blocks the
loop for longer than 2 s (`set_watchdog`).

Nothing here survives the process: work in memory is lost when it is killed. `inprocess.journal`,
imported on demand, keeps jobs in a database, and loses none. Importing this
package loads no third-party module; the three scenarios (`inprocess.account_setup`,
`inprocess.account_sync`, `inprocess.welcome_email`) and `inprocess.testing` are imported on
demand. `docs/runtime.md` teaches all of it in an hour.
"""

from inprocess.supervision import asgi
from inprocess.supervision.asgi import Supervised
from inprocess.supervision.core import telemetry
from inprocess.supervision.core.clock import Clock, LoopClock, Timer, sleep
from inprocess.supervision.core.errors import (
    AlreadyPresentError,
    AlreadyStartedError,
    CallTimeoutError,
    ChildError,
    ChildRestartingError,
    ChildRunningError,
    LoopGoneError,
    NoSuchChildError,
    NotPicklableError,
    Refused,
    RemoteError,
    ServerDiedError,
    StartError,
    TaskExitError,
    TaskRefusedError,
    UnhandledMessageError,
    WorkerDiedError,
)
from inprocess.supervision.core.exits import NORMAL, SHUTDOWN, Exit, Ignore, Restart, Shutdown, Stop
from inprocess.supervision.core.names import Via, whereis
from inprocess.supervision.core.process import Held, Process, ShutdownLimit
from inprocess.supervision.core.redact import hide, redact, redact_call
from inprocess.supervision.core.restarts import Backoff, RestartIntensity
from inprocess.supervision.introspection.observer import snapshot
from inprocess.supervision.introspection.snapshot import Node, Snapshot
from inprocess.supervision.introspection.watchdog import set_watchdog
from inprocess.supervision.isolation.around import Around, around_every_job
from inprocess.supervision.leases.file import FileLease
from inprocess.supervision.leases.lease import Lease
from inprocess.supervision.leases.leased import Leased
from inprocess.supervision.leases.postgres import PostgresLease
from inprocess.supervision.leases.redis import RedisLease
from inprocess.supervision.lifecycle.drain import CutOff, DrainReport, drain
from inprocess.supervision.lifecycle.runtime import Runtime, attach, home_loop
from inprocess.supervision.periodic.grid import Grid, wall_origin
from inprocess.supervision.periodic.periodic import Periodic
from inprocess.supervision.periodic.policies import Misfire, Overlap, PeriodicOptions, TickCounts
from inprocess.supervision.periodic.schedule import Schedule
from inprocess.supervision.periodic.tick_store import TickStore
from inprocess.supervision.periodic.tick_stores.file import FileTickStore
from inprocess.supervision.periodic.tick_stores.sqlite import SqliteTickStore
from inprocess.supervision.periodic.work_then_rearm import FixedDelay, WorkThenRearm
from inprocess.supervision.registry import Registry
from inprocess.supervision.servers import sys
from inprocess.supervision.servers.gen_server import (
    NO_REPLY,
    TIMEOUT,
    Caller,
    Down,
    GenServer,
    MessageTimer,
    Monitor,
)
from inprocess.supervision.supervisors.child_spec import AutoShutdown, ChildCounts, ChildSpec, ChildType
from inprocess.supervision.supervisors.dynamic_supervisor import DynamicSupervisor
from inprocess.supervision.supervisors.partition_supervisor import PartitionSupervisor, partition_of
from inprocess.supervision.supervisors.strategy import Strategy
from inprocess.supervision.supervisors.supervisor import Supervisor
from inprocess.supervision.tasks.async_task import AsyncTask, Exited, Ok, await_many, yield_many
from inprocess.supervision.tasks.child import Child, current_attempt, current_child
from inprocess.supervision.tasks.task import Task
from inprocess.supervision.tasks.task_supervisor import TaskSupervisor

__all__ = [
    "NORMAL",
    "NO_REPLY",
    "SHUTDOWN",
    "TIMEOUT",
    "AlreadyPresentError",
    "AlreadyStartedError",
    "Around",
    "AsyncTask",
    "AutoShutdown",
    "Backoff",
    "CallTimeoutError",
    "Caller",
    "Child",
    "ChildCounts",
    "ChildError",
    "ChildRestartingError",
    "ChildRunningError",
    "ChildSpec",
    "ChildType",
    "Clock",
    "CutOff",
    "Down",
    "DrainReport",
    "DynamicSupervisor",
    "Exit",
    "Exited",
    "FileLease",
    "FileTickStore",
    "FixedDelay",
    "GenServer",
    "Grid",
    "Held",
    "Ignore",
    "Lease",
    "Leased",
    "LoopClock",
    "LoopGoneError",
    "MessageTimer",
    "Misfire",
    "Monitor",
    "NoSuchChildError",
    "Node",
    "NotPicklableError",
    "Ok",
    "Overlap",
    "PartitionSupervisor",
    "Periodic",
    "PeriodicOptions",
    "PostgresLease",
    "Process",
    "RedisLease",
    "Refused",
    "Registry",
    "RemoteError",
    "Restart",
    "RestartIntensity",
    "Runtime",
    "Schedule",
    "ServerDiedError",
    "Shutdown",
    "ShutdownLimit",
    "Snapshot",
    "SqliteTickStore",
    "StartError",
    "Stop",
    "Strategy",
    "Supervised",
    "Supervisor",
    "Task",
    "TaskExitError",
    "TaskRefusedError",
    "TaskSupervisor",
    "TickCounts",
    "TickStore",
    "Timer",
    "UnhandledMessageError",
    "Via",
    "WorkThenRearm",
    "WorkerDiedError",
    "around_every_job",
    "asgi",
    "attach",
    "await_many",
    "current_attempt",
    "current_child",
    "drain",
    "hide",
    "home_loop",
    "partition_of",
    "redact",
    "redact_call",
    "set_watchdog",
    "sleep",
    "snapshot",
    "sys",
    "telemetry",
    "wall_origin",
    "whereis",
    "yield_many",
]
