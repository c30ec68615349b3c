"""Reads finished runs: thresholds, the comparison of two runs, and how a report is rendered.

What belongs here: whatever reads run directories and changes none. Not: measures of one block (`measures`).
Floors: may use `plan`, `storage`, `measures` and what lies below them.
"""
