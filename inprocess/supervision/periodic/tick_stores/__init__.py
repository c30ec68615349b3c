"""Where last ticks are kept: a file, or a database of SQLite.

Belongs here: implementations of `periodic.tick_store.TickStore` from the standard library. Does not belong
here: when a tick is saved. May import `periodic.tick_store` and `core`.
"""
