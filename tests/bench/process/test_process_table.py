"""What a run learns of the processes that it has started."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from bench.process.process_table import ProcessTable, failed_exit_codes

PATIENCE_S = 20.0


def test_a_part_that_ended_with_an_error_is_told_and_one_that_was_stopped_is_not(tmp_path: Path) -> None:
    bodies = {
        "worker": "raise SystemExit(3)",
        "beat": "pass",
        "app": "import time; time.sleep(60)",
        "replica": "import time; time.sleep(60)",
    }
    with ProcessTable() as table:
        parts = {
            name: table.start(name, [sys.executable, "-c", body], env={}, folder=tmp_path)
            for name, body in bodies.items()
        }
        parts["replica"].kill()
        for name in ("worker", "beat", "replica"):
            asyncio.run(parts[name].ended(within_s=PATIENCE_S))
        assert failed_exit_codes(parts) == {"worker": 3}
