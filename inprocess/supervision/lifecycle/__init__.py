"""The loop that hosts a tree where the app has none, and the drain that ends a tree.

Belongs here: what starts or ends a whole application. Does not belong here: starts and stops of one child,
see `supervisors`. May import `core` and `isolation`.
"""
