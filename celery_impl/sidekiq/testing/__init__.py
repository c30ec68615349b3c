"""For tests of code that sends jobs: `fake` keeps them, `inline` runs them at once; no broker is asked.

What belongs here: the test modes and what they keep. Not: fixtures of our own tests.
"""

from celery_impl.sidekiq.testing.modes import EndlessError, Jobs, NotTestingError, drain, fake, inline

__all__ = ["EndlessError", "Jobs", "NotTestingError", "drain", "fake", "inline"]
