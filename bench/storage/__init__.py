"""A run's directory on the disk: manifest, tables, what machine it was, and how a cut table is repaired.

What belongs here: files of a run. Not: what their rows mean. Floors: may use `schema`, `errors`, `process`.
"""
