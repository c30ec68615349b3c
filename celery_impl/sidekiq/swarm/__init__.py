"""`celery worker -P swarm`: a pool whose children fetch, run and acknowledge for themselves.

What belongs here: the parent (`pool`, `children`, `node`, `steps`), the child (`child`, `child_pool`), and
what lies between them: shared memory (`slots`, `rate_limits`), commands (`messages`), and the parent's view
of what the children hold at the broker (`held_jobs`). Not: how jobs are fetched and held, which is `lease`.
"""
