"""The short ways from `delay` and `bulk` to a queue of the lease transport.

What belongs here: what sends jobs at little cost, and leaves to Celery's own way whatever it does not know.
`message_template` makes messages, `kept_connections` sends them, `fast_enqueue` is the way of one job, `bulk`
of many. Not: the chains that a job passes before it comes here (`middleware`). Floors: may use `jobs`,
`redis`, `lease` and `limits`.
"""
