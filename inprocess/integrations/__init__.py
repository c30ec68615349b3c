"""Glue to frameworks: what a job that runs beside requests needs from the framework.

Belongs here: one file or folder a framework, which imports that framework. Does not belong here: servers and
their protocols, see `supervision.asgi` and `supervision.lifecycle`; Celery, see `inprocess.celery`.
"""
