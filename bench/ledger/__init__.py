"""The ledger as the harness reads it: every event of a block, whole, in order, from every host.

What belongs here: reading and merging `events-*.jsonl`, and the words of events that several rooms know.
Not: what events mean (`measures`), nor how they are written (`scenarios.ledger`). Floors: may use `schema`,
`errors`.
"""
