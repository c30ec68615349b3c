"""Processes of a run: started, watched and ended by their pid, whatever happens to the harness.

What belongs here: what any program of ours needs to begin and to end. Not: what a program does. The lowest
floor beside `schema` and `errors`.
"""
