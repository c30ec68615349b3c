"""The event log of a block: what stands in it, how it is read, and whose clock stamped it.

Nothing here starts a process or knows a side; measures, faults and blocks may import it.
"""
