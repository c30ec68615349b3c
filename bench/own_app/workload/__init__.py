"""Which of the user's tasks run, how often and with which arguments: from options or a TOML file.

What belongs here: reading, checking and planning a workload. Not: the app itself. Floors: may use `load`.
"""
