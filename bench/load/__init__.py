"""The load: when each request is due, and the program that sends it then.

What belongs here: arrivals and the generator. Not: which blocks carry which load (`plan`). Floors: may use
`ledger` and `process`.
"""
