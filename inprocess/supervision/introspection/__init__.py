"""A snapshot of the whole tree, as data and as text, and the watchdog over its event loops.

Belongs here: what reads processes of every kind from outside. Does not belong here: questions to
one server, see `servers.sys`. May import every other folder of `supervision`.
"""
