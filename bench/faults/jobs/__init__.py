"""Faults of jobs: what the code, the arguments or the number of jobs do wrong. A module a fault."""
