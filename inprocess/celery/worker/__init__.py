"""The worker in this process: consumer, pool, jobs, timers, and how a task is prepared for it."""
