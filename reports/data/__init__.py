"""A run directory as the report reads it: tables, manifest, texts made safe, formats.

Reading, checking and formatting belong here; figures and verdicts do not. The lowest floor.
"""
