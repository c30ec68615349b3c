"""Visits, and the mails about them."""
