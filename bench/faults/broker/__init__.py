"""Faults of the broker and of the way to it. A module a fault."""
