"""A journal in an SQLite file: where the file may lie, its schema, who of its holders lives, its rows.

Standard library alone. May use `model`.
"""
