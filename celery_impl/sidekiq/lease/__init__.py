"""`lease+redis://`: a job is held under a lease by the worker that took it, and never in nobody's hands.

`transport` is what kombu sees. `scripts` moves jobs, `leases` calls it, `holder` is what one consumer holds,
`acks` how it lets go of it, `renewal` the thread that keeps it, `fetch` what a channel asks its broker for,
`weights` the order in which it looks at its queues.
"""
