"""A side under test: its processes, its client, and what they cost the machine.

What belongs here: starting, asking and sampling a side. Not: what is done to it (`faults`, `blocks`).
Floors: may use `world`, `load`, `plan`, `ledger`, `process`.
"""
