"""The sets, signals and the transport in Redis.

What belongs here: what talks to the broker on Redis. Not: what people call (`api`, `enqueue`). Floors: may
use `jobs`.
"""
