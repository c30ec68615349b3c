"""Fault jobs: what a fault needs done that no scenario does. The same jobs on each side, by name.

A fault job does its oddity (see `work`) and then tells the CRM of its key, so that the
CRM writes its `effect` and the checker counts it as a job of account set-up, `<key>/crm`.
`endpoint` hands them over inside the app; `tasks` has them for a worker.
"""
