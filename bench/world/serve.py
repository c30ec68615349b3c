"""The services of one block, or of many: in one process of their own.

`python -m bench.world.serve --folder F` serves one block on 127.0.0.1. It writes `F/world.json` when all
services are listening: crm_url, fulfillment_url, node_url, smtp_url and control_url. It ends on SIGTERM,
on SIGINT and when its parent is gone.

`serve_shared_world` (the command `queue-or-task world`) serves the runs of other hosts until it is
stopped, at an address that its caller names: see `bench.world.shared_world`. It asks for no password.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import socket
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

from starlette.applications import Starlette

from bench.atomic_write import write_json
from bench.ledger import host_label
from bench.process.asgi_server import Server, address_of, listening_socket, url_of
from bench.process.parent_watch import end_with_parent
from bench.process.signals import stop_on_signals
from bench.world import services
from bench.world.control import ServiceCounters, control
from bench.world.faults import ServiceFaults
from bench.world.mail import MailService
from bench.world.shared_world import SharedWorld
from scenarios import ledger

#: Milliseconds that each service takes over a request.
DEFAULT_LATENCY_MS = 20.0
#: Sockets of a world, in the order of their ports: the control server, the three services, the mail.
NAMES = ("control_url", "crm_url", "fulfillment_url", "node_url", "smtp_url")


class Services:
    """The services and their control server, not yet listening."""

    def __init__(self, latency_s: float) -> None:
        self.faults = ServiceFaults()
        self.crm, self.fulfillment, self.node = (
            services.HttpService(name, self.faults, latency_s) for name in ("crm", "fulfillment", "node")
        )
        self.mail = MailService(self.faults, latency_s)
        self.standing: SharedWorld | None = None

    def share(self, folder: Path, host: str, latency_s: float) -> SharedWorld:
        """Serve block after block, with the ledger of that folder."""
        slow = (self.crm, self.fulfillment, self.node, self.mail)
        self.standing = SharedWorld(folder, host, self.faults, slow, latency_s)
        return self.standing

    async def serve(self, sockets: Sequence[socket.socket], ready: Callable[[dict[str, str]], None]) -> None:
        """Serve on the sockets of `NAMES` until SIGTERM or SIGINT; `ready` is called with the URLs."""
        asked = stop_on_signals()
        bound = dict(zip(NAMES, sockets, strict=True))
        servers = {name: Server(app) for name, app in self._apps().items()}
        smtp = await asyncio.get_running_loop().create_server(self.mail.protocol, sock=bound["smtp_url"])
        async with asyncio.TaskGroup() as group:
            for name, server in servers.items():
                group.create_task(server.serve(sockets=[bound[name]]))
            for server in servers.values():
                await server.listening.wait()
            ready(
                {name: url_of(bound[name]) for name in servers}
                | {"smtp_url": "smtp://{}:{}".format(*address_of(bound["smtp_url"]))}
            )
            await asked.wait()
            smtp.close()
            for server in servers.values():
                server.stop()

    def _apps(self) -> dict[str, Starlette]:
        counted: dict[str, ServiceCounters] = {
            "crm": self.crm,
            "fulfillment": self.fulfillment,
            "node": self.node,
            "mail": self.mail,
        }
        more = self.standing.routes() if self.standing else []
        return {
            "crm_url": services.crm(self.crm),
            "fulfillment_url": services.fulfillment(self.fulfillment),
            "node_url": services.node(self.node),
            "control_url": control(self.faults, counted, self.mail, more),
        }


def serve_shared_world(address: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the runs of other hosts at ports `port`, `port` + 1, … of the address until stopped.

    Raise PortTakenError where one of them cannot be used. `say` is called with each line for a person.
    """
    latency_s = DEFAULT_LATENCY_MS / 1000
    with ExitStack() as held:
        ports = range(port, port + len(NAMES))
        sockets = [held.enter_context(listening_socket(number, host=address)) for number in ports]
        folder = held.enter_context(tempfile.TemporaryDirectory(prefix="queue-or-task-world-"))
        host = host_label.label(os.environ)
        ledger.keep(Path(folder), {"host": host})
        world = Services(latency_s)
        standing = world.share(Path(folder), host, latency_s)

        def ready(urls: dict[str, str]) -> None:
            standing.urls = urls
            say(f"the services of host {host} are up; for the run: --world-url {urls['control_url']}")

        asyncio.run(world.serve(sockets, ready))


def main() -> None:
    """Read the command line and serve one block."""
    end_with_parent()
    parser = argparse.ArgumentParser(
        prog="python -m bench.world.serve", description="The services of one block."
    )
    parser.add_argument("--folder", type=Path, required=True, help="where world.json is written")
    parser.add_argument("--latency-ms", type=float, default=DEFAULT_LATENCY_MS, help="of each service")
    options = parser.parse_args()
    world = Services(options.latency_ms / 1000)
    sockets = [listening_socket() for _ in NAMES]
    asyncio.run(world.serve(sockets, lambda urls: write_json(options.folder / "world.json", urls)))


if __name__ == "__main__":
    main()
