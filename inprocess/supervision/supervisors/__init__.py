"""Supervisors: child specs, strategies, restart intensity. OTP's `supervisor` and Elixir's relatives.

What belongs here: who starts and restarts whom. Not: what a child does. Floors: may use `core` and
`servers`.
"""
