"""The work itself, told once: what both builds do, and the contract that both keep.

`users`, `crm`, `fulfillment`, `node`, `mail` and `balances` are plain code with no
notion of a queue or a task. `contract` says what a build must offer. `ledger` is the
event log that a build writes to while it is being measured, and a no-op otherwise.

This package imports nothing else of ours; see `tests/test_house.py`.
"""
