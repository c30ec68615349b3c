"""A process on one of several replicas: leases by file, Redis or PostgreSQL.

Floors: may use `core`, `servers`, `supervisors`.
"""
