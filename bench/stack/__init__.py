"""A side under test: its processes, its client, and what they cost the machine.

What belongs here: starting a side, calling it and sampling its use of the machine. Not: what is done to it
(`faults`, `blocks`).
Floors: may use `world`, `load`, `plan`, `ledger`, `process`.
"""
