"""What a run keeps in a journal instead of in memory: messages, results, counts of chords, revocations.

Belongs here: how they become rows, and rows become messages again. Does not belong here: what a worker does
with a message, see `worker`; rows and who holds them, see `inprocess.journal`. May import `broker`,
`results`, `sending` and `inprocess.journal`.
"""
