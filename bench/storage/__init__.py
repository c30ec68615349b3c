"""A run's directory: its manifest, its tables and their repair, and the machine that it ran on.

What belongs here: files of a run. Not: what their rows mean. Floors: may use `schema`, `errors`, `process`.
"""
