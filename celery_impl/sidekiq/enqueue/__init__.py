"""A task's side of a job: its options, what keeps a job until it can be sent, and what ends one for good.

What belongs here: what a task or its sender does. Not: the chains that call it (`middleware`), nor a worker's
own work (`worker`). Floors: may use `jobs`, `redis`, `limits` and `sending`.
"""
