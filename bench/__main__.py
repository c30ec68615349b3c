"""`python -m bench`, the same as `queue-or-task`."""

from bench.cli.commands import main

main(prog_name="queue-or-task")
