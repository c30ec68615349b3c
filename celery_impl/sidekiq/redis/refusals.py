"""What a broker refuses, in words that say what to do.

A server that takes no writes for a while (a replica, a full disk) counts as one that is away: a worker waits
for it, and a caller is told. A user without a right is told which, and where all are listed.
"""

from __future__ import annotations

from typing import Any, Final

import redis

#: What the answer of a server says that takes no writes now and may do so later.
FOR_A_WHILE: Final = ("READONLY", "read only replica", "MISCONF", "MASTERDOWN", "NOREPLICAS")
#: What it says where the user lacks a right: of a command, and of one in a script, by version of the server.
NO_RIGHT: Final = ("NOPERM", "no permissions", "ACL failure", "can't run this command")
#: Where the rights are listed.
RIGHTS: Final = "docs/sidekiq.md lists the keys, channels and commands under 'Rights'"


class Explained:
    """What a connection class of redis-py gains by standing before it: errors that people understand."""

    def read_response(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; raise its ConnectionError for a server that takes no writes now."""
        try:
            return super().read_response(*args, **options)  # type: ignore[misc] # a mixin
        except redis.ResponseError as error:
            found = explained(error)
            if found is not None:
                raise found from error
            raise


def explained(error: redis.ResponseError) -> redis.RedisError | None:
    """Return an error that people understand in place of the broker's; None where that one will do."""
    text = str(error)
    if any(word in text for word in FOR_A_WHILE):
        return redis.ConnectionError(f"the broker takes no writes now ({text})")
    if is_refusal(error) and RIGHTS not in text:
        return redis.exceptions.NoPermissionError(
            f"NOPERM: the broker's user lacks a right ({text}): {RIGHTS}"
        )
    return None


def is_refusal(error: BaseException) -> bool:
    """Return whether the error says that the user lacks a right."""
    return isinstance(error, redis.exceptions.NoPermissionError) or (
        isinstance(error, redis.ResponseError) and any(word in str(error) for word in NO_RIGHT)
    )
