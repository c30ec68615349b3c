"""Figures of load: capacity, load levels, processor hogs, cold starts, cost, the harness's share."""
