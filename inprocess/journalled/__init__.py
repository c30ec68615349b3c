"""The third build of the scenarios: in-process work that survives a kill, by `inprocess.journal`.

    from inprocess.journalled import account_setup

Belongs here: the three modules of `scenarios.contract` and the tree that runs them. Does not belong here: the
journal itself, see `inprocess.journal`. The builds beside it are `inprocess` (in memory) and `celery_impl`.
"""
