"""`lease+redis://`: the worker that takes a job holds it under a lease, so that no moment can lose it.

`transport` is what kombu sees, with its `channel`. `scripts` moves jobs and `lease_store` calls it. `holder`
is what one consumer holds, `fire_and_forget_acks` how it acknowledges, `inbox` what it has fetched and not
begun in the pool solo, `renewal` the thread that renews, `watch` who is dead.
`fetch` asks the broker for jobs and `weights` orders the queues.
"""
