"""`python -m bench`, the same as `queue-or-task`."""

from queue_or_task import main

main()
