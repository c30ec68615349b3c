"""Many periodic owners inside the app, its worker and its beat, with nothing to do but to note their runs.

What belongs here: each side's way to run thousands of owners. Not: how many there are (`plan.owner_fleet`).
"""
