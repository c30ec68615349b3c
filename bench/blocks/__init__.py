"""One module a kind of block: what is started, loaded, watched and written for it.

What belongs here: the effects of one block and the rows that it appends. Not: which blocks a run has
(`plan`), nor what their figures mean (`measures`). Floors: may use `stack`, `faults`, `load`, `plan` and
what lies below.
"""
