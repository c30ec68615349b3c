"""What a worker does beside Celery's own work: consumer, request, heartbeat and maintenance of the sets.

What belongs here: code that runs in a worker's main process alone. Not: what happens around the run of a job
(`middleware`). Floors: may use `jobs`, `redis`, `limits`, `enqueue` and `beat`.
"""
