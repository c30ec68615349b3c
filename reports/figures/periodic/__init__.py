"""Figures of periodic work: phase, age, thousands of owners."""
