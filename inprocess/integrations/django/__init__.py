"""Django: database connections are closed after each job.

    INSTALLED_APPS = ["inprocess.integrations.django", ...]

Belongs here: what jobs need from Django. Does not belong here: Celery's ties to Django, which are its own.
"""
