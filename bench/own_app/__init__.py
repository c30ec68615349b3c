"""Bring your own Celery app: its tasks on both sides, through the same load, faults and measures.

What belongs here: what the harness knows of the app (`own_app`, a `Subject`), its sides and faults, the
options of a run (`own_request`), and its processes as one side (`own_stack`). The app's code is imported in
child processes (`children`), never in the harness; `workload` says which tasks are called.
Floors: may use `stack`, `app`, `plan` and what lies below them, and none but `cli` imports it.
"""
