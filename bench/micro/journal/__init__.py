"""The journal's speed beside bare commits and beside other queues in the same database, in turns.

Belongs here: benchmarks of `inprocess.journal`, one file a database. Not: what a journal does
under kills, see `bench/soak`.
"""
