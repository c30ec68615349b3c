"""Looking for the parts that are elsewhere, before a run begins: what is not there ends it with one line."""

from __future__ import annotations

import shlex
import subprocess
import sys
from collections.abc import Mapping

from bench.errors import BenchError
from bench.ledger import host_label
from bench.plan.deployment import Deployment, DeploymentRequest
from bench.plan.run_request import RunRequest
from bench.plan.sides import Side
from bench.world.broker import KEY_PREFIX_VARIABLE, URL_VARIABLE, delete_keys
from bench.world.remote_world import RemoteWorld

DATABASE_VARIABLE = "DATABASE_URL"
#: Seconds within which a worker elsewhere must answer a ping.
WORKER_ANSWERS_S = 10.0
#: Seconds that the start of whoever asks may take besides.
START_S = 30.0

# Runs with the environment of a side: the harness itself loads no Celery app, which would be of one side.
_PING = (
    "import sys\n"
    "from celery_impl.app import app\n"
    "sys.exit(not app.control.inspect(timeout=float(sys.argv[1]), limit=1).ping())\n"
)


def discover(request: RunRequest, env: Mapping[str, str]) -> Deployment:
    """Look for everything that is said to be elsewhere; raise BenchError where a part is not there.

    `env` holds what the subject leaves of the run's variables. The broker has been looked at before
    (`check_broker`).
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
    """Raise BenchError where the environment names no database: app and workers must share one."""
    if not env.get(DATABASE_VARIABLE):
        raise BenchError(
            "workers elsewhere read the users that the app wrote: "
            f"set {DATABASE_VARIABLE}, for the run and for the workers, to a database that both hosts reach"
        )


def worker_command(asked: DeploymentRequest, side: Side, profile: str) -> str:
    """What starts a worker for the side on another host."""
    broker = ["--broker-url", asked.broker_url] if asked.broker_url else []
    words = ["queue-or-task", "worker", "--side", side.name, "--profile", profile, *broker]
    return shlex.join([*words, "--world-url", asked.world_url])


def worker_answers(env: Mapping[str, str], *, within_s: float) -> bool:
    """Ask over the broker of these variables, as Celery's own tools do, whether any worker is there."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", _PING, str(within_s)],
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
            delete_keys(asked.broker_url, own[KEY_PREFIX_VARIABLE])  # what the question itself left there
        raise BenchError(
            f"no worker of {side.name} answered within {WORKER_ANSWERS_S:g} s: start one on its host, with "
            f"the same {DATABASE_VARIABLE}: {worker_command(asked, side, deployment.profile)}"
        )
