"""How the report prints numbers and names; the bound that 0 of n still allows."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable

from scipy.special import betaincinv

from bench.schema import METRIC_LABELS, POLICY_LABELS, SCENARIO_LABELS, SIDE_LABELS

#: Printed where there is no number.
NOTHING = "\N{EN DASH}"
#: A job that was not finished by the drain limit.
OVER_LIMIT = "> limit"
#: Confidence of the one-sided bound on a share.
CONFIDENCE = 0.95

#: The smallest p-value that is printed.
LEAST_P = 0.0001

#: The quantile that is called by its name.
MEDIAN = 0.5

#: The words of a comparison that has too few pairs.
TOO_FEW = "too few pairs"

#: From here on the next larger unit is used: milliseconds, seconds.
_SECOND_MS = 1000
_MINUTE_S = 120

FAULT_NAMES = {
    1: "dependency answers 503 twice",
    2: "job always raises",
    3: "dependency never answers",
    4: "dependency slow",
    5: "first service answers, the second fails",
    6: "argument that kills the process",
    7: "argument that cannot be serialised",
    8: "argument of 50 MB",
    9: "argument changed after submit",
    10: "kill -9 of the app",
    11: "kill -9 of a worker's child",
    12: "kill -9 of the worker",
    13: "SIGTERM in mid-job (a deploy)",
    14: "memory limit reached",
    15: "CPU hog of 2 s",
    16: "broker refuses at enqueue",
    17: "broker silent at enqueue",
    18: "half-open connection to the broker",
    19: "broker 50 ms slower",
    20: "broker killed with jobs queued",
    21: "broker restarted under workers",
    22: "broker out of memory",
    23: "result store down",
    24: "worker starts 10 s late",
    25: "job longer than the visibility timeout",
    26: "caller submits twice",
    27: "wall clock jumps by 60 s",
    28: "scheduler killed for 5 s",
    29: "two replicas, two schedulers",
    30: "child that crashes at once, for ever",
    31: "burst of 1,000",
    32: "long jobs ahead of short ones",
    33: "sync takes 1.5 intervals",
    34: "database locked for 5 s",
    35: "deploy renames a task",
    36: "transaction rolls back after submit",
    37: "RabbitMQ node restarted",
    38: "schedules of many users at once",
    39: "broker blinks while follow-ups are sent",
    40: "broker's clock steps back 1 h",
    41: "job holds the interpreter's lock for 10 s",
    42: "SIGTERM to every process",
    43: "SIGTERM to an app with a background runtime",
    44: "app loaded before the fork",
    45: "one job always fails, and an outage of 4 s",
    46: "deploys more often than the interval",
    47: "broker read-only for 5 s",
    48: "memory runs out inside a job",
}

_QUEUES = {
    "celery-hardened": "a hardened queue",
    "celery-stock": "a stock queue",
    "celery-app": "a queue with your settings",
}


def side(name: str) -> str:
    """The label of a side."""
    return SIDE_LABELS.get(name, name)


def narrow_side(name: str) -> str:
    """The label of a side in as few letters as tell it from the others."""
    return side(name).removeprefix("in-process, ")


def queue(name: str) -> str:
    """A side that is a queue, with its article: "a hardened queue"."""
    return _QUEUES.get(name, f"a queue ({side(name)})")


def scenario(name: str) -> str:
    """The label of a scenario."""
    if "." in name:  # a task of your own app
        return name
    return SCENARIO_LABELS.get(name, name.replace("_", " ") or "all scenarios")


def title(name: str) -> str:
    """As `scenario`, for a heading; the name of a task is left as it is."""
    return name if "." in name else scenario(name).capitalize()


def call(name: str) -> str:
    """The label of a benchmark: "delay (stock)" for "test_delay[stock]"."""
    return name.removeprefix("test_").replace("_", " ").replace("[", " (").replace("]", ")")


def policy(name: str) -> str:
    """The label of a sync policy."""
    return POLICY_LABELS.get(name, name)


def metric(name: str, quantile: float) -> str:
    """A metric with its quantile, as in "median caller cost" and "response p99"."""
    plain = METRIC_LABELS.get(name, name)
    return f"median {plain}" if quantile == MEDIAN else f"{plain} {percentile(quantile)}"


def called(words: str, pairs: float, needed: float) -> str:
    """The words of a comparison, as in "higher" and "too few pairs (3 of 4)"."""
    return f"{words} ({count_of(pairs, needed)})" if words == TOO_FEW and math.isfinite(needed) else words


def fault(number: float, slug: str = "") -> str:
    """A fault's number and what it does."""
    if not math.isfinite(number):
        return slug or NOTHING
    return f"{number:.0f} {FAULT_NAMES.get(int(number), slug.replace('-', ' '))}".strip()


def fault_name(number: int) -> str:
    """What a fault does."""
    return FAULT_NAMES.get(number, f"fault {number}")


def percentile(quantile: float) -> str:
    """0.5 as "p50", 0.999 as "p99.9"."""
    return f"p{quantile * 100:.4g}" if math.isfinite(quantile) else NOTHING


def number(value: float, digits: int = 3) -> str:
    """Three significant digits with thousands separated; a dash for no number."""
    if not math.isfinite(value):
        return NOTHING
    rounded = float(f"{value:.{digits}g}")
    decimals = 0 if rounded == 0 else max(0, digits - 1 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def p_value(value: float) -> str:
    """A p-value with two digits; below LEAST_P it is so small that its size says nothing."""
    return f"< {LEAST_P}" if value < LEAST_P else number(value, 2)


def minus_signs(text: str) -> str:
    """The text with a minus sign before each negative number, where it has a hyphen."""
    return re.sub(r"(?<![\w.])-(?=\d)", "\N{MINUS SIGN}", text)


def count(value: float) -> str:
    """A whole number, or a dash."""
    return f"{value:,.0f}" if math.isfinite(value) else NOTHING


def count_of(part: float, whole: float) -> str:
    """So many of so many, as in "9 of 10"."""
    return f"{count(part)} of {count(whole)}"


def ms(value: float) -> str:
    """A time given in milliseconds, as µs, ms, s or min; infinity is "> limit"."""
    if value == math.inf:
        return OVER_LIMIT
    if not math.isfinite(value):
        return NOTHING
    if abs(value) >= _SECOND_MS:
        return seconds(value / _SECOND_MS)
    if 0 < abs(value) < 1:
        return f"{number(value * 1000)} µs"
    return f"{number(value)} ms"


def amount(value: float) -> str:
    """As `number`, but a whole number has no decimals."""
    return count(value) if math.isfinite(value) and value.is_integer() else number(value)


def age(value: float) -> str:
    """An age, given in milliseconds and printed in milliseconds with four digits."""
    return f"{number(value, 4)} ms" if math.isfinite(value) else ms(value)


def seconds(value: float) -> str:
    """A time given in seconds."""
    if value == math.inf:
        return OVER_LIMIT
    if abs(value) >= _MINUTE_S and math.isfinite(value):
        return f"{number(value / 60)} min"
    return f"{number(value)} s" if math.isfinite(value) else NOTHING


def amount_s(value: float) -> str:
    """As `seconds`, but a whole number has no decimals: "5 s"."""
    return f"{amount(value)} s"


def fold(ratio: float) -> str:
    """A ratio with its multiplication sign."""
    return f"{number(ratio)} \N{MULTIPLICATION SIGN}"


def times(ratio: float, low: float, high: float) -> str:
    """A ratio with its 95 % interval, as in "1.42 (1.20 to 1.69)", with the sign of `fold`."""
    if not math.isfinite(ratio):
        return NOTHING
    if not (math.isfinite(low) and math.isfinite(high)):
        return f"{fold(ratio)}, no interval"
    return f"{fold(ratio)} ({number(low)} to {number(high)})"


def interval(low: float, high: float) -> str:
    """The ends of an interval of ratios; empty where there is none."""
    known = math.isfinite(low) and math.isfinite(high)
    return f"{number(low)} to {number(high)} \N{MULTIPLICATION SIGN}" if known else ""


def span(low: float, high: float) -> str:
    """An interval of two significant digits, as in "73 to 92"; "at least 240" where it has no upper end."""
    if not math.isfinite(low):
        return NOTHING
    if not math.isfinite(high):
        return f"at least {number(low, 2)}"
    ends = number(low, 2), number(high, 2)
    return spread_to(*ends)


def plural(number_of: float, noun: str) -> str:
    """A number with its noun: "no pair", "1 pair", "4 pairs"."""
    return f"{count(number_of) if number_of else 'no'} {noun}{'s' if number_of > 1 else ''}"


def spread(middle: str, low: str, high: str) -> str:
    """A median over blocks with its range, unless both ends are alike."""
    return middle if low == high else f"{middle} ({low} to {high})"


def spread_to(low: str, high: str) -> str:
    """A range without its middle, unless both ends are alike: "4 to 6"."""
    return low if low == high else f"{low} to {high}"


def upper_bound(hits: int, trials: int) -> float:
    """The largest share that `hits` of `trials` still allows (Clopper-Pearson, one-sided 95 %).

    0 of 5 allows 0.45. No trials allow anything: 1.0.
    """
    if hits >= trials:
        return 1.0
    return float(betaincinv(hits + 1, trials - hits, CONFIDENCE))


def percent(share: float) -> str:
    """A share as a percentage of two significant digits."""
    if not math.isfinite(share):
        return NOTHING
    return f"{float(f'{share * 100:.2g}'):g} %"


def percentage(value: float) -> str:
    """A number of percent, or a dash."""
    return f"{number(value)} %" if math.isfinite(value) else NOTHING


def zero_bound(strikes: int) -> str:
    """What no loss in so many strikes leaves possible, as part of a sentence."""
    return (
        f"after {plural(strikes, 'strike')} without a loss, up to {percent(upper_bound(0, strikes))} of such "
        "strikes could still lose one"
    )


def symbol(state: str) -> str:
    """The mark of held, broken or unknown."""
    return {"held": "\N{CHECK MARK}", "broken": "\N{BALLOT X}"}.get(state, "?")


def room_left(strikes: Iterable[int]) -> str:
    """The bounds that these numbers of strikes without a loss still allow, in one sentence."""
    parts = [
        f"after {plural(trials, 'strike')} without a loss, as many as "
        f"{upper_bound(0, trials) * 100:.0f} in 100 such strikes could still lose a job"
        for trials in sorted(set(strikes))
    ]
    return f"How much a zero proves: {'; '.join(parts)} (95 % bound)." if parts else ""
