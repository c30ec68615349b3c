"""Fault jobs: jobs that faults need and no scenario has. The same jobs on each side, by name.

A fault job misbehaves as its kind says (see `work`), then sends its key to the CRM, which writes its
`effect`. The checker counts it as a job of account set-up, `<key>/crm`. `endpoint` submits them inside the
app; `tasks` holds them for a worker.
"""
