"""`python -m bench`, the same as `queue-or-task`."""

from bench.cli import main

main(prog_name="queue-or-task")
