"""The loop that hosts a tree, and the drain that ends one.

Floors: may use `core` and the kinds of process.
"""
