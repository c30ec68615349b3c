"""`python -m bench.world.proxy`: the proxy as a program of its own."""

from __future__ import annotations

import argparse
import asyncio
import json
import signal
import sys
from pathlib import Path

from bench.atomic_write import write_atomically
from bench.process.parent_watch import end_with_parent
from bench.process.signals import exit_with_usage_error
from bench.world.proxy.control import serve_control
from bench.world.proxy.server import HOST, Proxy
from bench.world.proxy.toxics import Toxic, ToxicError

#: Exit code after Ctrl-C.
INTERRUPTED = 130

EXAMPLES = """\
examples:
  a Redis that answers 50 ms late, give or take 10:
    python -m bench.world.proxy --upstream 127.0.0.1:6379 --toxic latency:latency=50,jitter=10
  a black hole from the start, and a fixed port:
    python -m bench.world.proxy --upstream 127.0.0.1:6379 --port 6380 --toxic timeout@both
  cut each answer after 1,000 bytes; a modem; connections that are reset after 2 s:
    … --toxic limit_data:bytes=1000    … --toxic bandwidth:rate=7    … --toxic reset_peer:timeout=2000
  change it while it runs (the first line that it prints has the address of `control`):
    curl -d '{"type": "timeout", "stream": "both"}' http://127.0.0.1:8474/toxics
    curl -X DELETE http://127.0.0.1:8474/toxics/timeout_both
    curl -X POST http://127.0.0.1:8474/down        refuse connections; /up takes them again
    curl -X POST http://127.0.0.1:8474/half_open   the present connections go dead, unannounced
    curl -X POST http://127.0.0.1:8474/reset       the present connections get an RST

Its first line is a JSON object: listen, upstream, control. It ends on Ctrl-C (130) and SIGTERM (0);
2 is a port in use or an option that cannot be used.
"""


async def run(options: argparse.Namespace, toxics: list[Toxic]) -> int:
    """Serve until a signal comes; return the exit code."""
    loop, asked = asyncio.get_running_loop(), asyncio.Queue[int]()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.put_nowait, number)
    async with Proxy(options.upstream, port=options.port, seed=options.seed) as proxy:
        for toxic in toxics:
            proxy.add(toxic)
        control = await serve_control(proxy, options.control_port)
        port = control.sockets[0].getsockname()[1]
        told = json.dumps({**proxy.state(), "control": f"http://{HOST}:{port}"})
        print(told, flush=True)  # noqa: T201 - a program's output
        if options.ready_file:
            write_atomically(options.ready_file, told)
        signalled = await asked.get()
        control.close()
    return INTERRUPTED if signalled == signal.SIGINT else 0


def main() -> None:
    """Read the command line and serve."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.world.proxy",
        description="A TCP proxy on 127.0.0.1 that makes a network bad on purpose.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--upstream", type=_address, required=True, metavar="HOST:PORT", help="the server")
    parser.add_argument("--port", type=int, default=0, help="to listen on; a free one by default")
    parser.add_argument("--control-port", type=int, default=0, help="of the HTTP interface; a free one")
    parser.add_argument(
        "--toxic",
        action="append",
        default=[],
        metavar="TYPE[@STREAM][:ATTRIBUTE=NUMBER,…]",
        help="from the start; repeat for more",
    )
    parser.add_argument("--seed", type=int, default=0, help="of jitter and toxicity")
    parser.add_argument("--ready-file", type=Path, help="where the first line is written too")
    parser.add_argument("--with-parent", action="store_true", help="end when the parent process is gone")
    options = parser.parse_args()
    if options.with_parent:
        end_with_parent()
    try:
        sys.exit(asyncio.run(run(options, [Toxic.from_text(text) for text in options.toxic])))
    except (ToxicError, OSError, OverflowError) as error:
        exit_with_usage_error("bench.world.proxy", str(error))


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r}: expected host:port")
    return host, int(port)


if __name__ == "__main__":
    main()
