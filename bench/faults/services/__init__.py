"""Faults of what the jobs call: services, mail and the database. A module a fault."""
