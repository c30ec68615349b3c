"""A PostgreSQL server of our own, for one block: made in a new folder, on a free port of 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Final, Self

import psycopg

#: What to do where there is none.
INSTALL: Final = "no PostgreSQL server: apt-get install postgresql"
#: Seconds that it may take to start and to stop.
PATIENCE_S: Final = 30.0
#: The role that owns it, and the database.
USER: Final = "postgres"
#: Who runs it where we are root, as whom it refuses to run.
NOBODY: Final = "nobody"


class NoPostgresError(RuntimeError):
    """PostgreSQL is not installed, or does not start."""


def initdb() -> Path | None:
    """Return the path of `initdb`, on PATH or where Debian has it; None without one."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path)
    return next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)), None)


class PostgresServer:
    """See the module. `syncs`: whether a commit waits for the disk. Raise NoPostgresError."""

    def __init__(self, *, syncs: bool = False, settings: tuple[str, ...] = ()) -> None:
        binary = initdb()
        if binary is None:
            raise NoPostgresError(INSTALL)
        self._binary = binary.resolve().with_name("postgres")
        self._settings = (f"fsync={'on' if syncs else 'off'}", "max_connections=100", *settings)
        self._user = NOBODY if os.geteuid() == 0 else None
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        self._process: subprocess.Popen[bytes] | None = None
        if self._user:
            shutil.chown(self._folder, self._user)
        options = ["-A", "trust", "-U", USER, "--no-sync", "--no-instructions", "-E", "UTF8", "--locale=C"]
        command = [str(self._binary.with_name("initdb")), "-D", str(self._folder / "data"), *options]
        made = subprocess.run(command, check=False, user=self._user, cwd=self._folder, capture_output=True)
        if made.returncode:
            shutil.rmtree(self._folder)
            raise NoPostgresError(f"initdb failed: {made.stderr.decode(errors='replace')}")
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    def url(self, database: str = USER, *, user: str = USER) -> str:
        """The URL of a database of its."""
        return f"postgresql://{user}@127.0.0.1:{self.port}/{database}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self.stop()
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Start it, and wait until it answers."""
        settings = [f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories="]
        command = [str(self._binary), "-D", str(self._folder / "data")]
        for setting in (*settings, *self._settings):
            command += ["-c", setting]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, user=self._user, cwd=self._folder, stdout=log, stderr=log
            )
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                psycopg.connect(self.url()).close()
            except psycopg.OperationalError:
                if time.monotonic() > deadline or self._process.poll() is not None:
                    text = (self._folder / "log").read_text(errors="replace")
                    self.stop()
                    raise NoPostgresError(f"PostgreSQL does not start: {text}") from None
                time.sleep(0.02)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End it: SIGINT cuts connections, SIGQUIT is a crash. Does nothing where it does not run."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(how)
            process.wait(PATIENCE_S)
