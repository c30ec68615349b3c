"""The plan of a run: which blocks, on which sides, in which order, under which strikes. Pure.

What belongs here: values that are made before anything starts. Not: what starts or reads a clock. Floors:
may use `faults`, `load`, `measures` and what lies below them, and never `stack`.
"""
