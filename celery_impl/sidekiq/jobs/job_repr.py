"""Shows a job in a log: its task and its arguments, short, and without what is named like a secret.

`argsrepr` and `kwargsrepr`, Celery's own options for what logs show, count where the caller set them.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from celery.utils.saferepr import saferepr

#: Shown in place of a secret.
HIDDEN: Final = "[hidden]"
#: Characters of one argument.
ARGUMENT_CHARACTERS: Final = 80
#: A name is a secret's if it holds one of these, whatever its case, `_` and `-`.
SECRETS: Final = (
    "accesskey", "apikey", "authorization", "cookie", "credential", "passphrase", "passwd", "password",
    "privatekey", "pwd", "secret", "signature", "token",
)  # fmt: skip


def job(
    task: Any, job_id: str, args: Sequence[Any], kwargs: Mapping[str, Any], options: Mapping[str, Any]
) -> str:
    """`task(arguments) [id]`; an argument is hidden by the name of its parameter or key."""
    positional = options.get("argsrepr") or ", ".join(_positional(task, args))
    named = options.get("kwargsrepr") or ", ".join(f"{name}={_value(name, kwargs[name])}" for name in kwargs)
    return f"{task.name}({', '.join(filter(None, (positional, named)))}) [{job_id}]"


def _positional(task: Any, args: Sequence[Any]) -> Iterator[str]:
    names = list(inspect.signature(task.run).parameters)
    for place, value in enumerate(args):
        yield _value(names[place] if place < len(names) else "", value)


def _value(name: str, value: object) -> str:
    plain = name.lower().replace("_", "").replace("-", "")
    if any(secret in plain for secret in SECRETS):
        return HIDDEN
    if isinstance(value, Mapping):
        inside = ", ".join(f"{key!r}: {_value(str(key), value[key])}" for key in list(value)[:8])
        return f"{{{inside}}}"[: 4 * ARGUMENT_CHARACTERS]
    return str(saferepr(value, maxlen=ARGUMENT_CHARACTERS))
