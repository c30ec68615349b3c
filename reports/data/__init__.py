"""A run directory as the report reads it: tables, manifest, texts made safe, formats.

What belongs here: reading, checking and formatting. Not: what a figure or a verdict says. The lowest floor.
"""
