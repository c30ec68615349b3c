"""Tasks and their supervisors: Elixir's `Task` and `Task.Supervisor`.

What belongs here: a function that runs under supervision, its attempts and its results. Floors: may use
`core`, `isolation`, `supervisors`.
"""
