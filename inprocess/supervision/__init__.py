"""OTP's supervision on asyncio, with the standard library alone. `inprocess` exports its public names.

Each folder holds one thing: `core` carries all others, `isolation` and `lifecycle` stand on it, then come
`servers`, `supervisors`, `tasks`, `periodic` and `leases`; `introspection` looks at them. `registry` and
`asgi` lie here because they are one file each. Nothing in a folder imports this level.
"""
