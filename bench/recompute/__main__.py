"""`python -m bench.recompute RUN`: print what differs. Exit code 1 where anything does, 2 for no run."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.recompute.recomputation import Recomputation

#: Exit codes: a figure differs; the command line is wrong.
DIFFERS, USAGE = 1, 2


def main(arguments: list[str]) -> int:
    """Recompute one run; return the exit code."""
    if len(arguments) != 1 or not (Path(arguments[0]) / "run.json").exists():
        sys.stderr.write("usage: python -m bench.recompute RUN, a directory under results/ with a run.json\n")
        return USAGE
    found = Recomputation(Path(arguments[0]))
    found.check()
    lines = [f"note: {note}" for note in found.notes]
    lines += found.disagreements
    lines.append(f"{found.compared} figures compared, {len(found.disagreements)} disagree")
    sys.stdout.write("\n".join(lines) + "\n")
    return DIFFERS if found.disagreements else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
