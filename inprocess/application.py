"""The scenarios' supervision tree, and the loop it runs on.

    inprocess                     Supervisor, one_for_one
    ├── account_setup             TaskSupervisor: two transient children a user
    ├── account_sync.runs         TaskSupervisor: one temporary child a tick
    ├── account_sync.servers      Supervisor: one periodic server an owner
    └── account_sync              GenServer: starts and stops those servers, in order

`application_host` says how it is hosted.
"""

from __future__ import annotations

from inprocess import scenario_children
from inprocess.application_host import ApplicationHost

__all__ = ["home", "lifespan", "pending_jobs", "process", "stop"]

_host = ApplicationHost(scenario_children.child_specs, name="inprocess")
lifespan, process, home = _host.lifespan, _host.process, _host.home
pending_jobs, stop = _host.pending_jobs, _host.stop
