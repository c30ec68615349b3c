"""The undocumented parts of Celery that this package builds on, and its changes to the whole process.

Belongs here: each such import, and patches that all runs share. Does not belong here: anything that can be
done with documented names. Imports no other folder.
"""
