"""How an app is changed to run in this process, and changed back: attributes, settings, remote control.

Belongs here: patches of one app. Does not belong here: patches of the whole process, see
`celery_internals`; of tasks, see `worker`. May import `broker`, `celery_internals`, `results`, `sending`.
"""
