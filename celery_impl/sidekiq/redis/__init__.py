"""What `Sidekiq(app)` keeps in Redis: keys, their Lua scripts, and the transport that writes them.

The sorted sets and the moves between them, the clock and the signals that scripts share, and the thread that
looks at them. It may use `jobs` (what an entry looks like) and nothing else of `sidekiq`; what a worker, a
sender or a person does with the sets belongs to `worker`, `enqueue` and `api`.
"""
