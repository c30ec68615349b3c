"""A run: the order of its blocks, its progress, its resumption and its end.

What belongs here: what concerns all blocks. Not: one block (`blocks`). Floors: may use `blocks`, `stack`,
`storage`, `plan` and what lies below.
"""
