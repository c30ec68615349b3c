"""Thousands of periodic owners inside the app, its worker and its beat; each run is recorded, with no work.

What belongs here: how each side runs them. Not: how many there are (`plan.owner_fleet`).
"""
