"""Faults of processes and their machine: kills, deploys, limits, clocks. A module a fault."""
