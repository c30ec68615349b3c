"""Figures of latency: distributions, percentiles, intervals, the host's tax, call costs."""
