"""Parts of a run on other hosts: the options (`DeploymentRequest`), and what was found (`Deployment`).

Clocks of two hosts are never compared: figures that need both are left out, and run.json lists them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bench.errors import BenchError
from bench.plan.sides import Side
from bench.world.broker import URL_VARIABLE
from bench.world.remote_world import RemoteWorld

#: Figures that are left out if the services, the workers or the broker are on another host.
LEFT_OUT_WORLD = "response, late, and recovery but for the next effect: the services' host stamps the effects"
LEFT_OUT_WORKERS = "pickup: the workers' host stamps the starts"
LEFT_OUT_COST = "a queue's processor time, memory, processes and sockets: part of it is on another host"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeploymentRequest:
    """What the options of `run` say is elsewhere."""

    #: Empty: REDIS_URL where it is set, else a broker of the run's own.
    broker_url: str = ""
    #: Empty: services of each block's own.
    world_url: str = ""
    workers: bool = False

    def check(self, env: Mapping[str, str]) -> None:
        """Raise BenchError for options that do not go together."""
        if "@" in self.broker_url:
            raise BenchError(
                f"--broker-url is written into run.json, with its password: set {URL_VARIABLE} instead"
            )
        if self.workers and not (self.broker_url or env.get(URL_VARIABLE)):
            raise BenchError(
                f"external workers need a broker that they reach: add --broker-url or set {URL_VARIABLE}"
            )
        if self.workers and not self.world_url:
            raise BenchError("external workers need services that they reach: add --world-url")

    def options(self) -> list[str]:
        """The options that say so."""
        named = {"--broker-url": self.broker_url, "--world-url": self.world_url}
        words = [word for option, value in named.items() if value for word in (option, value)]
        return [*words, *(["--external-workers"] if self.workers else [])]

    def environment(self, env: Mapping[str, str]) -> dict[str, str]:
        """The environment with the broker that was named."""
        return {**env, **({URL_VARIABLE: self.broker_url} if self.broker_url else {})}


@dataclass(frozen=True, slots=True, kw_only=True)
class Deployment:
    """The parts that are elsewhere, found; the default is a run all of whose parts are its own."""

    #: The label of this host, where another one may stamp events.
    host: str = ""
    #: Empty: each block starts a broker of its own.
    broker_url: str = ""
    world: RemoteWorld | None = None
    workers: bool = False
    profile: str = ""

    @property
    def services_on_other_host(self) -> bool:
        """Whether another host stamps the effects."""
        return self.world is not None and self.world.host != self.host

    def workers_of(self, side: Side) -> bool:
        """Whether this side's workers are started by somebody else."""
        return self.workers and side.queued

    def key_prefix(self, side: Side) -> str | None:
        """What the side's workers elsewhere prefix their keys with; None: a prefix of each block's own."""
        return key_prefix(self.world, self.profile, side) if self.world and self.workers_of(side) else None

    def manifest(self) -> dict[str, Any]:
        """Return the entry of run.json: where each part is and what is left out; empty if all is here."""
        if not (self.broker_url or self.world):
            return {}
        untold = {
            LEFT_OUT_WORLD: self.services_on_other_host,
            LEFT_OUT_WORKERS: self.workers,
            LEFT_OUT_COST: bool(self.broker_url),
        }
        return {
            **({"host": self.host} if self.host else {}),
            "services": f"{self.world.url} on host {self.world.host}" if self.world else "own",
            "workers": "started elsewhere" if self.workers else "own",
            "not told": "; ".join(text for text, applies in untold.items() if applies) or "nothing",
        }


#: The default everywhere: a run all of whose parts are its own.
ALL_HERE = Deployment()


def key_prefix(world: RemoteWorld, profile: str, side: Side) -> str:
    """The prefix that a run and its workers elsewhere agree on: no other world, profile or side has it."""
    return f"queue-or-task:{world.id}:{profile}:{side.name}:"
