"""Where a call runs: on the event loop, in a thread or in a worker process.

Belongs here: worker threads and processes, their limits and their end, and what is pickled on the way.
Does not belong here: restarts, see `tasks`. May import `core`.
"""
