"""The words of the page that need a definition, for readers who got the file without the project.

Each text stands word for word in docs/glossary.md; a test holds them together.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from markupsafe import Markup, escape

from reports.pages.templating import keep_together

#: Each term with its definition, in the order of the page's list.
DEFINITIONS = {
    "Run": "everything that one `queue-or-task run` measures; a directory under `results/`.",
    "Block": "one side in fresh processes, under one load, for one window of time. All figures begin as "
    "figures of a block.",
    "Effect": "the event that the called service writes when the work was done. The side under test cannot "
    "write it.",
    "Due": "the planned moment of a job. The response counts from here.",
    "Response": "from the moment a job was due to its effect.",
    "Caller cost": "how long the caller waits for the hand-over alone.",
    "Hand-over": "the call by which the app gives a job away. `submit` lies before it, `accepted` after it.",
    "Accepted, refused, unknown": "what the caller knows about the hand-over: yes, no, or no answer.",
    "p99": "the value that 99 of 100 do not exceed; p50 is the median.",
    "95 % interval": "the values that the measured pairs of blocks leave possible: 95 of 100 such intervals "
    "contain the true one.",
    "Done once, duplicated, failed visibly, stuck, lost": "the five classes. Each accepted job is in exactly "
    "one.",
    "Stuck": "accepted, no effect, and still held somewhere when the drain ends. It may yet run.",
    "Lost": "accepted, no effect, no record, held nowhere.",
    "Failed visibly": "accepted, no effect, and a record of the failure that a person can find.",
    "Ghost": "a job that had its effect although its caller got an error or no answer.",
    "Unexpected": "an effect that no caller had asked for.",
    "Late": "the effect came more than the deadline after due.",
    "Deadline": "the time after due by which an effect is in time: 5 s, or what your own app sets.",
    "Pickup": "from the moment a job was due to the moment it began to run.",
    "Uncorrected": "a response that counts from `submit`, so that what a job waited before is left out: "
    "effect after submit.",
    "Margin": "the difference that is called none: 10 % of the other side's value; at least 1 ms where a "
    "person feels it, else 1 µs.",
    "Holm's correction": "what is asked of each comparison grows with their number, so that at most one run "
    "in twenty calls any difference that is not there.",
    "Out of order": "a job overtook an earlier one of the same user.",
    "At least once, at most once": "no accepted job was lost; none had its effect twice. *Held*, *broken* or "
    "*unknown*.",
    "Fault": "something that is made to go wrong, numbered from 1 on.",
    "Strike": "one time that a fault hits one side. Also the injector that makes it.",
    "Control run": "the block of a fault without the fault.",
    "Exposed": "accepted jobs that the strike could reach: of a kill, those that were not done when it "
    "was made; and each job that was lost. Losses are counted among these.",
    "Blast radius": "what a strike did to bystanders, minus the control run: in percentage points of the "
    "jobs that they submitted, at the worst strike.",
    "Prediction": "what a side is expected to do, written before the run.",
    "Drain": "the wait after the load until each job has ended, with a limit. Also: the end of a process "
    "that lets running work end first, and names what it cuts off.",
    "Drain limit": "the seconds that the drain waits at most; each side has its own.",
    "Grace": "the seconds that running work gets to end before its process cuts it off.",
    "Dead set": "jobs that were given up, kept for a person to look at. There they count as failed visibly.",
    "Retry set, scheduled set": "jobs that wait in Redis for their time.",
    "Lease": "a right that ends by itself unless it is renewed. It lets one of several replicas tick, and it "
    "holds a worker's jobs.",
    "Beat": "Celery's scheduler of periodic tasks.",
    "Worker": "a process that takes jobs from the queue and runs them.",
    "Broker": "the server that holds the queue: RabbitMQ, or Redis. Where the page says Redis it may be "
    "Valkey, which does what Redis does: see Provenance.",
    "Prefetch": "messages that a worker takes before it can run them.",
    "noeviction": "Redis's setting to refuse new data when its memory is full, not to drop old data.",
    "CRM": "customer relationship management: here one of the services that a job calls, which stores a new "
    "user.",
    "Grid": "the moments `t0 + k·T` at which runs are due.",
    "Tick": "one moment of the grid.",
    "Anchored": "on the grid: a late tick does not move those after it. The opposite of a fixed delay.",
    "Skip, spawn, catch up": "what an anchored sync does with a tick while its last run goes on: leave it "
    "out, start a second run beside it, or run it afterwards.",
    "Phase": "how long after its tick a run started.",
    "Jitter": "how far the time between two starts is from the interval; sd is its standard deviation.",
    "Age": "how old the balance is that a reader sees; p99: no older for 99 % of the time. With a sync each "
    "second 1,000 ms is the least.",
    "Owner": "who a periodic sync belongs to: one balance, one schedule.",
    "Missed": "a tick without a run.",
    "Burst": "two starts within half an interval.",
    "ppm": "parts in a million. 11.6 ppm are one second a day.",
    "Host tax": "how much longer the app's event loop lags under load than when idle.",
    "Idle control": "the app before any load, at the start of each block: what the host tax is counted from.",
    "Event loop": "the one thread of an asyncio app that serves all its requests in turns.",
    "Capacity": "the requests a second that a side gets done when more come than it can do.",
    "PSS": "memory of a process with its part of what it shares with others.",
    "Hiccup": "time for which the machine itself kept a program waiting, as a 1 ms sleeper beside the block "
    "sees it.",
    "Steal": "processor time that a hypervisor gave to somebody else.",
    "A/A": "one side against itself. Whatever differs is noise.",
    "Noise floor": "the factor by which two blocks of the same side differ (see A/A).",
    "Known truth": "fake sides that do a known wrong, to see whether the harness reports it.",
    "Threshold": "a text such as `p90(response) < 200ms` that a run must meet.",
}

#: Words that stand for a term under another form.
_ALSO = {
    "doubled": "Done once, duplicated, failed visibly, stuck, lost",
    "at least once": "At least once, at most once",
    "at most once": "At least once, at most once",
    "A/A floor": "Noise floor",
    "strikes": "Strike",
    "blocks": "Block",
    "ticks": "Tick",
    "owners": "Owner",
    "loop": "Event loop",
    "Holm": "Holm's correction",
    "prefetched": "Prefetch",
    "age p99": "Age",
    "accepted": "Accepted, refused, unknown",
    "spawn": "Skip, spawn, catch up",
    "catch up": "Skip, spawn, catch up",
}
#: Terms that are also everyday words, so that a link at each would mislead.
_EVERYDAY = frozenset({"Late", "Due", "Run", "Missed", "Age", "Unexpected"})
_TERMS = {
    **{term.lower(): term for term in DEFINITIONS if "," not in term and term not in _EVERYDAY},
    **{word.lower(): term for word, term in _ALSO.items()},
}
_WORDS = re.compile(
    rf"(?<![\w/-])({'|'.join(re.escape(word) for word in sorted(_TERMS, key=len, reverse=True))})(?![\w/-])",
    re.IGNORECASE,
)


def slug(term: str) -> str:
    """The id of a definition on the page."""
    return "word-" + re.sub(r"[^a-z0-9]+", "-", term.lower()).strip("-")


def definitions() -> tuple[tuple[str, str, Markup], ...]:
    """Each term with its id and its definition as HTML: code and emphasis as docs/glossary.md has them."""
    return tuple((slug(term), term, _html(text)) for term, text in DEFINITIONS.items())


class Linker:
    """Links words of a text to their definitions, each word once in a part of the page."""

    def __init__(self) -> None:
        self._linked: set[tuple[str, str]] = set()

    def __call__(self, text: object, part: str = "") -> Markup:
        """Return `text` escaped, with a link at the first use of each term within `part`."""
        found = str(keep_together(text))
        pieces: list[Markup] = []
        end = 0
        for match in _WORDS.finditer(found):
            term = _TERMS[match[1].lower()]
            if (part, term) in self._linked:
                continue
            self._linked.add((part, term))
            pieces += [escape(found[end : match.start()]), _link(match[1], term)]
            end = match.end()
        return _joined([*pieces, escape(found[end:])])


def _link(word: str, term: str) -> Markup:
    plain = re.sub(r"[`*]", "", DEFINITIONS[term])
    return Markup('<a class="word" href="#{}" title="{}">{}</a>').format(slug(term), plain, word)


def _joined(pieces: Iterable[Markup]) -> Markup:
    return Markup("").join(pieces)


def _html(text: str) -> Markup:
    """Backticks and asterisks of Markdown as `<code>` and `<em>`."""
    marked = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text)))
    return Markup(re.sub(r"\*([^*]+)\*", r"<em>\1</em>", marked))  # noqa: S704 - our own words, escaped
