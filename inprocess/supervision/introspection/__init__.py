"""A snapshot of the whole tree, as data and as text.

Belongs here: what reads processes of every kind without changing them. Does not belong here: questions to
one server, see `servers.sys`. May import every other folder of `supervision`.
"""
