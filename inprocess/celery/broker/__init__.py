"""The broker in memory: lanes, envelopes, and kombu's view of it.

Belongs here: queues and acknowledgement. Does not belong here: who takes from them, see `worker`. May import
`celery_internals`.
"""
