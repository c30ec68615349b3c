"""A journal in PostgreSQL, by psycopg 3: the server and its errors, tables, statements, sessions, the store.

Nothing outside of this folder may import it before a journal with such a URL is made: psycopg is an extra.
"""
