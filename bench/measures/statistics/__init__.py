"""Quantiles, intervals, paired comparisons and the words for a difference. Pure."""
