"""What stands in the sets: how an entry is written, and how one is read that may be anything.

`schedule` and `retry`: a version, the key of the queue and the message exactly as it will be queued, each
after a line feed. `dead`: a JSON object (`DeadJob`) with its version as `v`. What cannot be read, because it
is none of ours or a newer version wrote it, raises UnreadableError and is left where it is.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Final

#: Version of what we write; what has a higher one is kept and not touched.
VERSION: Final = 1
#: What an entry of `schedule` and `retry` begins with.
MARK: Final = f"v{VERSION}\n"
#: The message's header that tells how the job failed before.
FAILURE_HEADER: Final = "sidekiq"
#: Characters of an error's message that are kept.
MESSAGE_LIMIT: Final = 10_000


class UnreadableError(ValueError):
    """An entry that cannot be read; the text says why and what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DeadJob:
    """A job in the dead set: enough to run it again, and why it is there.

    `failed_at` is its first failure, `retried_at` that of its last retry, `retries` how many it had.
    `message` is what retrying it puts at `queue_key`; None where the job cannot be retried.
    """

    id: str
    task: str
    args: list[Any]
    kwargs: dict[str, Any]
    queue: str
    retries: int
    error_class: str
    error_message: str
    failed_at: float
    buried_at: float
    retried_at: float | None = None
    queue_key: str = field(default="", repr=False)
    message: str | None = field(default=None, repr=False)

    def dumps(self) -> str:
        """Return the member of the dead set; what JSON does not know is written as its repr."""
        return json.dumps({"v": VERSION, **asdict(self)}, default=repr)

    @classmethod
    def loads(cls, member: str) -> DeadJob:
        """Read a member; raise UnreadableError."""
        try:
            known = json.loads(member)
            version = int(known.pop("v"))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise UnreadableError(_corrupt("a JSON object with a version")) from None
        _check_version(version)
        try:
            return cls(**{part.name: known[part.name] for part in fields(cls) if part.name in known})
        except TypeError as error:
            raise UnreadableError(_corrupt(f"a job ({error})")) from None


def entry(queue_key: str, message: str) -> str:
    """Return the entry of `schedule` or `retry` for a message that is to be queued at `queue_key`."""
    return f"{MARK}{queue_key}\n{message}"


def split(member: str) -> tuple[str, str]:
    """Return the queue's key and the message of an entry of `schedule` or `retry`; raise UnreadableError."""
    version, _, rest = member.partition("\n")
    queue_key, cut, message = rest.partition("\n")
    if re.fullmatch("v[0-9]{1,9}", version):
        _check_version(int(version[1:]))
        if cut:
            return queue_key, message
    raise UnreadableError(_corrupt("a version, a queue and a message"))


def failure(error: BaseException, *, now: float, before: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the failure header after `error`; `before` is that of the run before, where there was one."""
    first = (before or {}).get("failed_at")
    return {
        "v": VERSION,
        "error_class": type(error).__name__,
        "error_message": str(error)[:MESSAGE_LIMIT],
        "failed_at": now if first is None else first,
        "retried_at": None if first is None else now,
    }


def arguments_of(message: Mapping[str, Any]) -> tuple[list[Any] | None, dict[str, Any] | None]:
    """Return args and kwargs of a message of kombu's virtual transports; None where its body is not JSON.

    Raise ValueError, TypeError or KeyError for what is no message.
    """
    if message.get("content-type") != "application/json":
        return None, None
    body = message["body"]
    if message["properties"].get("body_encoding") == "base64":
        body = base64.b64decode(body)
    args, kwargs, _ = json.loads(body)
    return args, kwargs


def queue_name(queue_key: str) -> str:
    """Return the name of a queue from its key, which may end in a priority (kombu's separator)."""
    return queue_key.partition("\x06\x16")[0]


def stand_in_id(text: str) -> str:
    """Return an id for what has none: the same each time that it is read."""
    return f"?{hashlib.sha256(text.encode(errors='replace')).hexdigest()[:12]}"


def _check_version(version: int) -> None:
    if version > VERSION:
        raise UnreadableError(
            f"written by version {version} of the sets, and this program knows {VERSION}: "
            "upgrade it where you look and where your workers run"
        )


def _corrupt(expected: str) -> str:
    return f"corrupt: expected {expected}; it stays here until you delete it"
