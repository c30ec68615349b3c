"""Rules for errors: whether a failed job waits by the schedule, waits so long, dies, or is dropped.

A rule is a mapping from error classes or a function of (retry, error), where the retry counts from 0. Its
answer is a number of seconds, `kill` (to the dead set now), `discard` (dropped, but death handlers hear of
it) or None: the next rule decides, and after the last one Sidekiq's formula. A mapping's most specific
class counts.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal

KILL: Final = "kill"
DISCARD: Final = "discard"

Verdict = Literal["kill", "discard"] | float
Rule = Mapping[type[BaseException], Verdict] | Callable[[int, BaseException], Verdict | None]

logger = logging.getLogger(__name__)


class VerdictError(ValueError):
    """A rule or its answer cannot be used; the text names it and what is expected."""


def verdict(error: BaseException, retry: int, *rules: Rule | None) -> Verdict | None:
    """Return the first answer of the rules that is not None; a rule that raises is logged and has none."""
    for rule in rules:
        if rule is not None and (answer := _ask(rule, retry, error)) is not None:
            return answer
    return None


def check_rule(rule: Any, name: str) -> None:
    """Raise VerdictError, with the name, if this is not a rule."""
    if rule is None or (callable(rule) and not isinstance(rule, Mapping)):
        return
    if not isinstance(rule, Mapping):
        raise VerdictError(f"{name} is {rule!r}: expected a mapping from error classes or a function")
    for error, answer in rule.items():
        if not (isinstance(error, type) and issubclass(error, BaseException)):
            raise VerdictError(f"{name} has the key {error!r}: expected an error class")
        _checked(answer, f"{name}[{error.__name__}]")


def _ask(rule: Rule, retry: int, error: BaseException) -> Verdict | None:
    if isinstance(rule, Mapping):
        return next((rule[cls] for cls in type(error).__mro__ if cls in rule), None)
    try:
        answer = rule(retry, error)
        return None if answer is None else _checked(answer, "the answer of a rule")
    except Exception:  # the job is what counts: it is retried by the formula
        logger.exception("the rule for %s failed: the schedule decides", type(error).__name__)
        return None


def _checked(answer: Any, name: str) -> Verdict:
    if answer in (KILL, DISCARD):
        return answer  # type: ignore[no-any-return] # one of the two
    if isinstance(answer, int | float) and not isinstance(answer, bool) and 0 <= answer < float("inf"):
        return answer
    raise VerdictError(f"{name} is {answer!r}: expected {KILL!r}, {DISCARD!r} or a number of seconds from 0")
