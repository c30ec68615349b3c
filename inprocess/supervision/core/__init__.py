"""What every process stands on: exits, errors, clock, scheduler, names, telemetry.

Imports no other folder.

What belongs here: values and services that know no kind of process. Not: a kind of process.
"""
