"""Drift, phase, age and regularity of periodic work."""
