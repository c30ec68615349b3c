"""A run from its first block to its report: the order of effects, progress, resumption.

What belongs here: what goes over all blocks. Not: one block (`blocks`). Floors: may use `blocks`, `stack`,
`storage`, `plan` and what lies below.
"""
