"""The page: its sections, templates and provenance, and the program that writes it.

What belongs here: what puts the parts together. Not: a part. Floors: may use every other folder of
`reports`.
"""
