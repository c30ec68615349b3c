"""The measures: pure functions from the events of a block to rows of the run directory's tables.

docs/method.md defines them. Nothing here reads a clock, a file or a process; times come in as
`time.monotonic_ns()` and go out as milliseconds unless a name says otherwise.
"""
