"""`queue-or-task journal`: look at a journal's sets and act on them, whether the app runs or not.

Needs click, nothing of the app: arguments that a codec of the app has encoded are shown by their size. May
use all of the journal.
"""

from inprocess.journal.cli.commands import journal

__all__ = ["journal"]
