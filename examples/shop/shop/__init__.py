"""A shop whose mails, stock and reports are Celery tasks: the plainest of the example apps."""
