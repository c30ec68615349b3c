"""A job as the sets keep it: its entry, its arguments, its retry schedule and the rules for its errors.

What belongs here: formats and rules without a connection. Not: moving a job (`redis`). The lowest floor.
"""
