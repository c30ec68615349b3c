"""Tasks and their supervisor: Elixir's `Task` and `Task.Supervisor`.

Belongs here: functions that run under supervision, their attempts, results and streams. Does not belong
here: processes with state, see `servers`. May import `core`, `isolation` and `lifecycle`.
"""
