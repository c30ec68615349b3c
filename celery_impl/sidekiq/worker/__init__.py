"""What a worker does beside Celery's own work: consumer, request, heartbeat and maintenance of the sets.

What belongs here: code that runs in a worker's process alone. Floors: may use `jobs`, `redis`, `enqueue`,
`lease`.
"""
