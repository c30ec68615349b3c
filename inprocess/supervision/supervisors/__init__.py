"""Supervisors of processes: OTP's `supervisor`, Elixir's `DynamicSupervisor` and `PartitionSupervisor`.

Belongs here: child specs, strategies, and who starts, restarts and stops whom. Does not belong here: what a
child does; functions as children, see `tasks`. May import `core` and `lifecycle`.
"""
