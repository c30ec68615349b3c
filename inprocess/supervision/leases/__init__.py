"""A process that runs on one of several replicas, held by a lease in a file, Redis or PostgreSQL.

Belongs here: `Leased` and one file a backend. Does not belong here: what the holder runs. May import `core`.
"""
