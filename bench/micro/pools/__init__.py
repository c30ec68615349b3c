"""Our pools of real Celery workers, each beside one of Celery's own, in turns.

What belongs here: `-P aio` and `-P swarm`. Not: the pools of Celery over our transport, which lie above, and
other job queues (`yardsticks`).
"""
