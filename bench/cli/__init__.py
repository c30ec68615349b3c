"""The command line: `queue-or-task`, or `python -m bench`.

What belongs here: options, their checks and the words of an error. Not: what a command does. The top floor
of `bench`: it may use every other folder, and none imports it.
"""
