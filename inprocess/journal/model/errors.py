"""The errors of a journal. Each text says what was wrong and what to do."""

from __future__ import annotations


class JournalError(RuntimeError):
    """Base of the errors of a journal."""


class JournalRefusedError(JournalError):
    """This journal cannot be used here: a newer schema, another app's, a network file system, a wrong URL."""


class JournalBusyError(JournalError):
    """Another process held the database for too long. Nothing was written."""


class JournalKeyHeldError(JournalBusyError):
    """A transaction that is open has written a job with the same key. Nothing was written."""


class JournalUnavailableError(JournalError):
    """The database does not answer. What was being written may be there or not."""


class JournalFullError(JournalError):
    """There is no space left for the database. Nothing was written."""


class JournalReadOnlyError(JournalError):
    """The database cannot be written by this process. Nothing was written."""


class JournalDamagedError(JournalError):
    """The database is damaged or its disk fails. What was being written may be there or not."""


class HolderLostError(JournalError):
    """This process's entry among the holders is gone: another process took it for dead."""


class NoJournalError(JournalError):
    """No journal was made in this process, or several and none was named."""


class TransactionError(JournalError):
    """The transaction of `within=` cannot take the job: it is not open, or is another database's."""


class ArgumentsError(TypeError):
    """An argument would not reach the task as it was given; the text has the path of the offending value."""


class CodecError(JournalError):
    """No codec of this process reads the arguments."""


class GiveUp(Exception):  # noqa: N818 - a request, not an error
    """Raise it in a task to make the job dead now, whatever attempts are left; its text is the reason."""


class RetryAfter(Exception):  # noqa: N818 - a request, not an error
    """Raise it in a task to run the job again after `seconds`, in place of its back-off."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"again in {seconds:g} s")
        self.seconds = seconds
