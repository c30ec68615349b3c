"""What a journal is made of, as values, and the Protocol of a store.

Jobs and their states, arguments as JSON, codecs, errors, the operations on rows. No SQL, no threads, no event
loop. May use the standard library and `inprocess.supervision` alone.
"""
