"""The yardsticks: a trivial job through other job queues, stock Celery and `Sidekiq(app)`, in turns.

What belongs here: how each peer is set up, as its own documentation advises, and what is timed with it. Not:
timings of our own parts alone, which lie in the folder above. `apps` is what the workers import, `peers` how
each is started, filled and watched; a peer that is not installed is left out with a line.
"""
