"""`python -m bench.world.serve --folder F`: the services of one block, in one process of their own.

Writes `F/world.json` when all of them are listening: crm_url, fulfillment_url, node_url,
smtp_url and control_url. Ends on SIGTERM, on SIGINT and when its parent is gone.
"""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from bench.lifeline import end_with_parent
from bench.serving import HOST, Server, listening_socket, port_of, stop_on_signals, url_of, write_json
from bench.world import services
from bench.world.control import Counting, control
from bench.world.faults import Faults
from bench.world.mail import MailService

#: Milliseconds that each service takes over a request.
DEFAULT_LATENCY_MS = 20.0


async def serve(folder: Path, latency_s: float) -> None:
    """Serve until SIGTERM or SIGINT; `world.json` appears in the folder once all are listening."""
    asked = stop_on_signals()
    faults = Faults()
    crm, fulfillment, node = (
        services.HttpService(name, faults, latency_s) for name in ("crm", "fulfillment", "node")
    )
    mail = MailService(faults, latency_s)
    counted: dict[str, Counting] = {"crm": crm, "fulfillment": fulfillment, "node": node, "mail": mail}
    apps = {
        "crm_url": services.crm(crm),
        "fulfillment_url": services.fulfillment(fulfillment),
        "node_url": services.node(node),
        "control_url": control(faults, counted, mail),
    }
    sockets = {name: listening_socket() for name in apps}
    servers = {name: Server(app) for name, app in apps.items()}
    smtp_socket = listening_socket()
    smtp = await asyncio.get_running_loop().create_server(mail.protocol, sock=smtp_socket)
    async with asyncio.TaskGroup() as group:
        for name, server in servers.items():
            group.create_task(server.serve(sockets=[sockets[name]]))
        urls = {name: url_of(bound) for name, bound in sockets.items()}
        for server in servers.values():
            await server.listening.wait()
        smtp_url = f"smtp://{HOST}:{port_of(smtp_socket)}"
        write_json(folder / "world.json", {**urls, "smtp_url": smtp_url})
        await asked.wait()
        smtp.close()
        for server in servers.values():
            server.stop()


def main() -> None:
    """Read the command line and serve."""
    end_with_parent()
    parser = argparse.ArgumentParser(
        prog="python -m bench.world.serve", description="The services of one block."
    )
    parser.add_argument("--folder", type=Path, required=True, help="where world.json is written")
    parser.add_argument("--latency-ms", type=float, default=DEFAULT_LATENCY_MS, help="of each service")
    options = parser.parse_args()
    asyncio.run(serve(options.folder, options.latency_ms / 1000))


if __name__ == "__main__":
    main()
