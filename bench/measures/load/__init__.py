"""Backlog, capacity, cost and processor shares under load."""
