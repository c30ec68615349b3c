"""Find the parts of a run that are on other hosts, before it begins."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Mapping

from bench.errors import BenchError
from bench.ledger import host_label
from bench.plan.deployment import Deployment, DeploymentRequest
from bench.plan.run_request import RunRequest
from bench.plan.sides import Side
from bench.world.broker import KEY_PREFIX_VARIABLE, URL_VARIABLE, delete_keys
from bench.world.remote_world import RemoteWorld
from queue_or_task import module_command

DATABASE_VARIABLE = "DATABASE_URL"
#: Seconds within which a worker elsewhere must answer a ping.
WORKER_ANSWERS_S = 10.0
#: Seconds that starting the process that pings may take besides.
START_S = 30.0


def discover(request: RunRequest, env: Mapping[str, str]) -> Deployment:
    """Find every part that the request places on another host; raise BenchError for one that is missing.

    `env` holds the run's variables, as the subject restricts them. Check the broker first (`check_broker`).
    """
    asked = request.deployment
    own = asked.environment(env)
    world = RemoteWorld.connect(asked.world_url) if asked.world_url else None
    if world and world.run:
        raise BenchError(
            f"--world-url {world.url} serves run {world.run}: wait for its end, or start another"
        )
    deployment = Deployment(
        host=host_label.label(env) if world else "",
        broker_url=own.get(URL_VARIABLE, ""),
        world=world,
        workers=asked.workers,
        profile=request.profile.name,
    )
    queued = [side for side in request.sides if deployment.workers_of(side)]
    if queued:
        check_database(env)
    for side in queued:
        _check_worker(deployment, asked, side, own)
    return deployment


def check_database(env: Mapping[str, str]) -> None:
    """Raise BenchError if the environment names no database: app and workers must share one."""
    if not env.get(DATABASE_VARIABLE):
        raise BenchError(
            "workers elsewhere read the users that the app wrote: "
            f"set {DATABASE_VARIABLE}, for the run and for the workers, to a database that both hosts reach"
        )


def worker_command(asked: DeploymentRequest, side: Side, profile: str) -> str:
    """The command that starts a worker for the side on another host."""
    broker = ["--broker-url", asked.broker_url] if asked.broker_url else []
    words = ["queue-or-task", "worker", "--side", side.name, "--profile", profile, *broker]
    return shlex.join([*words, "--world-url", asked.world_url])


def worker_answers(env: Mapping[str, str], *, within_s: float) -> bool:
    """Ping the workers over the broker that `env` names, as Celery's own tools do; True if any answers."""
    try:
        done = subprocess.run(
            module_command("bench.run.ping_workers", str(within_s)),
            env=dict(env),
            capture_output=True,
            timeout=within_s + START_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def _check_worker(
    deployment: Deployment, asked: DeploymentRequest, side: Side, env: Mapping[str, str]
) -> None:
    own = {**env, **side.env, KEY_PREFIX_VARIABLE: deployment.key_prefix(side) or ""}
    if not worker_answers(own, within_s=WORKER_ANSWERS_S):
        if asked.broker_url and own[KEY_PREFIX_VARIABLE]:
            delete_keys(asked.broker_url, own[KEY_PREFIX_VARIABLE])  # what the ping left there
        raise BenchError(
            f"no worker of {side.name} answered within {WORKER_ANSWERS_S:g} s: start one on its host, with "
            f"the same {DATABASE_VARIABLE}: {worker_command(asked, side, deployment.profile)}"
        )
