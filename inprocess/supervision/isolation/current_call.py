"""The call that a worker process makes; empty in any other process."""

from __future__ import annotations

#: Name and attempt of the child whose call this process makes; None if it is no worker.
_current: tuple[str, int] | None = None
#: Whether the app's main module is being imported; no worker may be started meanwhile.
importing_main = False


def begin(name: str, attempt: int) -> None:
    """Set the call that is made from now on."""
    global _current  # noqa: PLW0603 - one call at a time in a process
    _current = name, attempt


def attempt() -> int | None:
    """Return the attempt of the current call; None in a process that is no worker."""
    return None if _current is None else _current[1]
